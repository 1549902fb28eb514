# SPDX-License-Identifier: MIT
"""The results as a table, as JSON and as a picture."""
import json
from xml.sax.saxutils import escape

from figures import TRANSPORTS

LABELS = {"ours": "vmchannel", "raw_default": "raw port",
          "raw_tuned": "raw, tuned", "tcp": "TCP, slirp"}
COLOURS = {"ours": "#1f6fb2", "raw_default": "#b8b8b8",
           "raw_tuned": "#7d7d7d", "tcp": "#d9a441"}


def number(value):
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def cell(row, transport):
    if row[transport] is None:
        return "-"
    text = number(row[transport])
    low, high = row[f"{transport}_min"], row[f"{transport}_max"]
    return text if low == high else f"{text} ({number(low)}-{number(high)})"


def verdict(row):
    return {True: "met", False: "MISSED", None: ""}[row["met"]]


def ratios(row):
    return " / ".join(f"{row['ratios'][t]:.2f}" if t in row["ratios"]
                      else "-" for t in TRANSPORTS[1:])


def table(rows):
    """Medians with (min-max), and ours as a multiple of the others."""
    head = ["figure", "unit"] + [LABELS[t] for t in TRANSPORTS] + [
        "x raw / tuned / tcp", "target", ""]
    lines = [head]
    for row in rows:
        lines.append([row["title"], row["unit"]] +
                     [cell(row, t) for t in TRANSPORTS] +
                     [ratios(row), row["target"] or "", verdict(row)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(text.ljust(w) for text, w in
                               zip(line, widths)).rstrip()
                     for line in lines)


def write_json(path, rows):
    with open(path, "w") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")


# The picture: one panel per figure, in each a bar per transport.
PANEL_W, PANEL_H, COLUMNS = 330, 118, 3
BAR_H, BAR_LEFT, BAR_MAX = 13, 78, 160
HEAD_H = 44


def bar(row, transport, y, scale):
    value = row[transport]
    width = max(1.0, value * scale)
    low, high = row[f"{transport}_min"], row[f"{transport}_max"]
    x1, x2 = BAR_LEFT + low * scale, BAR_LEFT + high * scale
    mid = y + BAR_H / 2
    return [
        f'<text x="{BAR_LEFT - 5}" y="{y + 10}" text-anchor="end">'
        f'{LABELS[transport]}</text>',
        f'<rect x="{BAR_LEFT}" y="{y}" width="{width:.1f}" '
        f'height="{BAR_H - 2}" fill="{COLOURS[transport]}"/>',
        f'<path d="M{x1:.1f} {mid - 1:.1f}H{x2:.1f}" stroke="#222"/>',
        f'<text x="{BAR_LEFT + max(width, x2 - BAR_LEFT) + 4:.1f}" '
        f'y="{y + 10}">{number(value)}</text>',
    ]


def panel(row, x, y):
    present = [t for t in TRANSPORTS if row[t] is not None]
    out = [f'<g transform="translate({x},{y})">',
           f'<text x="0" y="12" class="t">{escape(row["title"])}'
           f'{", " + row["unit"] if row["unit"] else ""}</text>']
    if row["target"]:
        colour = {True: "#2c7a2c", False: "#b22222"}.get(row["met"], "#666")
        out.append(f'<text x="0" y="26" fill="{colour}">'
                   f'{escape(row["target"])} {verdict(row)}</text>')
    top = max([row[f"{t}_max"] for t in present] + [1e-9])
    for i, t in enumerate(present):
        out += bar(row, t, 34 + i * (BAR_H + 3), BAR_MAX / top)
    return out + ["</g>"]


def write_svg(path, rows, subtitle):
    rows = [r for r in rows if r["ours"] is not None or r["raw_tuned"]]
    lines = -(-len(rows) // COLUMNS)
    width, height = PANEL_W * COLUMNS + 20, lines * PANEL_H + HEAD_H + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
           f'height="{height}" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif" font-size="11">',
           '<style>.t{font-weight:bold}</style>',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           '<text x="12" y="20" font-size="15" class="t">vmchannel beside '
           'what QEMU offers</text>',
           f'<text x="12" y="36" fill="#555">{escape(subtitle)}</text>']
    for i, row in enumerate(rows):
        out += panel(row, 12 + i % COLUMNS * PANEL_W,
                     HEAD_H + 4 + i // COLUMNS * PANEL_H)
    with open(path, "w") as f:
        f.write("\n".join(out + ["</svg>", ""]))
