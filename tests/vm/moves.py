# SPDX-License-Identifier: MIT
"""moves - rounds of migrations under load, for the test and the soak."""
import collections
import os
import random
import subprocess
import time

from migrate import (END, FOLLOW_MAX, GuestFlows, Journey, Load, check_prefix,
                     downtimes, downtimes_inside, host_ends, postcopy_allowed,
                     state_times, tell_times)
from vmtest import check_equal, program, varlink

# What guest and host write and read in a second; 0: all that goes.
Profile = collections.namedtuple("Profile", "name guest host")
PROFILES = [
    Profile("saturated", (0, 0), (0, 0)),
    Profile("paced", (200000, 0), (200000, 0)),
    Profile("slow host", (0, 0), (100000, 300000)),
    Profile("slow guest", (100000, 300000), (0, 0)),
]
COUNTS = (1, 8, 64)
# The pace of all streams together is what the emulated guest can stand.
TICK_MS = {1: 5, 8: 10, 64: 60}
PLAIN = 2
DESTINATION = "host2.example.org"
# Of one boot: as many as there are places to follow to.
HOPS = FOLLOW_MAX
# Streams go on undisturbed for so long: a call, or a program that starts in
# the guest, would be translated first and count as their downtime.
SETTLE = 0.7
# What a busy machine may need; no measure of what is tested.
PATIENCE = 60
MIB = 1 << 20


def go_on(source, _there):
    """A migration that waits before the switch."""
    Journey.wait_status(source.qmp, "pre-switchover")
    time.sleep(0.3)
    source.qmp.command("migrate-continue", state="pre-switchover")


def by_postcopy(source, _there):
    time.sleep(0.2)
    source.qmp.command("migrate-start-postcopy")
    source.qmp.command("migrate-set-parameters", max_bandwidth=1 << 33,
                       max_postcopy_bandwidth=0)


# Ways to migrate: what Journey.switch() is to do.
WAYS = {
    "precopy": {},
    "pause-before-switchover": {
        "capabilities": ["pause-before-switchover"], "during": go_on},
    # Slow, so that there is something left to come after the switch.
    "postcopy": {"capabilities": ["postcopy-ram"], "during": by_postcopy,
                 "bandwidth": 20 * MIB},
}


def ways():
    """The names of those that this machine can do."""
    return [w for w in WAYS if w != "postcopy" or postcopy_allowed()]


class Round:
    """One boot and a few moves; all streams that follow are exact at the end."""

    def __init__(self, t, seed, count, profile):
        self.t = t
        self.count = count
        self.profile = profile
        # Every other time without QMP, which must not matter.
        self.journey = Journey(t, seed, state=True, qmp=seed % 2 == 0)
        tick = TICK_MS[count]
        rates = [(w // count * 8 if w else 0, r // count * 8 if r else 0)
                 for w, r in (profile.guest, profile.host)]
        self.load = Load(self.journey, count, *rates, tick, follow=True)
        self.back = Load(self.journey, 1, *rates, tick, follow="name",
                         opened_by="guest")
        self.downtimes, self.inside = [], []
        self.saved, self.loaded = [], []
        self.moves = []
        time.sleep(0.5)

    def hop(self, way="precopy"):
        """Returns a line that says how it went."""
        journey = self.journey
        early = journey.random.random() < 0.7
        plain = Load(journey, PLAIN, (50000, 0), (50000, 0), 20)
        ids = plain.ids(journey.daemon)
        self.announce(journey.daemon)
        move, source = journey.hop(early, **WAYS[way])
        # A destination whose daemon comes late is down until then.
        self.moves.append((move, early))
        time.sleep(SETTLE)
        self.t.wait_peer(journey.daemon, PATIENCE)
        self.new_streams()
        self.check_plain(plain)
        self.check_destination(source.daemon, ids)
        self.load.going()
        self.back.going()
        self.saved += state_times(source.daemon, "saved")
        self.loaded += state_times(source.daemon, "loaded")
        source.close()
        text = (f"{self.count} streams, {self.profile.name}, {way}, "
                f"{'early' if early else 'late'}, paused "
                f"{move.resumed - move.stopped:.0f} ms")
        # A guest that waits for its memory looks like a deaf port.
        reconnects = journey.daemon.proc.errors().count("ev=link-deaf")
        return text + (f", {reconnects} reconnects" if reconnects else "")

    def new_streams(self):
        name = f"org.example.new{self.journey.hops}"
        serve = GuestFlows(self.journey, f"-l host {name}", "echo")
        serve.wait_listening()
        self.t.host_connect(self.journey.daemon, name, "duplex", 50000,
                            1).ok(PATIENCE)
        serve.job.kill()

    def announce(self, daemon):
        """An operator who says where it goes."""
        subprocess.run([program("src/cli/vmchannel"), "--dir",
                        os.path.dirname(daemon.dir), "moved", "vm",
                        DESTINATION], check=True, timeout=20)

    @staticmethod
    def check_destination(daemon, ids):
        """What a program that lost its stream can ask."""
        check_equal(len(ids), PLAIN, "plain streams")
        for one in ids:
            stream = varlink(daemon, "org.vmchannel.Broker.StreamStatus",
                             id=one)["stream"]
            check_equal((stream["reason"], stream["destination"]),
                        ("migrated", DESTINATION), f"end of {one}")

    @staticmethod
    def check_plain(plain):
        """Who does not follow is told; nothing is silently lost."""
        host = host_ends(plain.outside, PLAIN, PATIENCE)
        guest = plain.inside.ends(PLAIN, PATIENCE)
        check_prefix(host, guest, "host's plain end of")
        check_prefix(guest, host, "guest's plain end of")
        plain.outside.wait(PATIENCE)
        for where, text in (("host", plain.outside.errors()),
                            ("guest", plain.inside.read())):
            told = END.findall(text)
            check_equal(told, ["migrated"] * PLAIN, f"reasons on the {where}")
        plain.inside.job.kill()

    def finish(self):
        self.loaded += state_times(self.journey.daemon, "loaded")
        for load in (self.load, self.back):
            host, guest = load.finish(2 * PATIENCE)
            for move, counts in self.moves:
                # The other one finds its daemon by a name that is changed
                # when the move is over, as by hand.
                if counts and load is self.load:
                    self.downtimes += downtimes(host, move)
                    self.inside += downtimes_inside(guest, move)
        for what, values in (("downtime", self.downtimes),
                             ("downtime in the guest", self.inside),
                             ("QEMU waited for a Save", self.saved),
                             ("QEMU waited for a Load", self.loaded)):
            tell_times(f"{self.count} streams, {self.profile.name}: {what}",
                       values)


def run_round(t, seed, count, profile, hops, passed, other_ways=0.0):
    """Calls passed(text) for each move that went well; the last one only
    when all bytes are accounted for. Returns the downtimes.
    other_ways: the part of moves that is not to be by precopy"""
    travel = Round(t, seed, count, profile)
    dice = random.Random(seed)
    others = [w for w in ways() if w != "precopy"]
    for i in range(hops):
        other = others and dice.random() < other_ways
        text = travel.hop(dice.choice(others) if other else "precopy")
        if i < hops - 1:
            passed(text)
    travel.finish()
    passed(text + ", every byte once")
    return travel.downtimes
