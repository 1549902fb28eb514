/* SPDX-License-Identifier: MIT */
/* relay.c - join stdin and stdout with a stream */
#include "cli/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmchannel/vmchannel.h>

#include "cli/cli.h"
#include "cli/outlet.h"
#include "cli/pump.h"

/* How long the last bytes may take to be acknowledged by the other side after
 * the stream has ended here, before that is called a failure. */
#define RESULT_MS      30000u
#define RESULT_STEP_MS 50 /* the longest step; the first is 1 ms */

struct relay {
	int stream;
	struct outlet out;
	bool hung_up; /* the stream: both ways are over */
	bool shut;    /* the end of stdin was passed on */
	bool out_closed;
	struct pump up, down; /* stdin -> stream, stream -> stdout */
};

static int report(const struct relay *r, const struct pump *p,
		  enum pump_error e)
{
	const char *where = p == &r->up ? "stdin" : "the stream";

	switch (e) {
	case PUMP_OK:
		return CLI_OK;
	case PUMP_TOO_LONG:
		return cli_error(CLI_FAILED,
				 "%s: a message is over the limit of %u bytes; "
				 "split it",
				 where, VMC_MSG_MAX);
	case PUMP_CUT:
		return cli_error(CLI_FAILED, "%s ended within a message",
				 where);
	case PUMP_READ:
		return cli_error(CLI_FAILED, "cannot read %s: %s", where,
				 strerror(errno));
	case PUMP_WRITE:
		break;
	}
	return cli_error(CLI_FAILED, "cannot write %s: %s",
			 p == &r->up ? "the stream" : "stdout",
			 strerror(errno));
}

/* What follows when a direction is over. */
static void pass_on_ends(struct relay *r)
{
	if (!r->shut && pump_is_over(&r->up)) {
		shutdown(r->stream, SHUT_WR);
		r->shut = true;
	}
	if (!r->out_closed && pump_is_over(&r->down)) {
		outlet_hang_up(&r->out);
		r->out_closed = true;
	}
}

static bool finished(const struct relay *r)
{
	if (r->down.broken)
		return true; /* "| head" has enough */
	return pump_is_over(&r->down) && (r->hung_up || pump_is_over(&r->up));
}

enum {
	STDIN,
	STREAM,
	STDOUT,
	N_POLL
};

static void fill_poll(const struct relay *r, struct pollfd p[N_POLL])
{
	bool in = pump_wants_read(&r->down), out = pump_wants_write(&r->up);

	p[STDIN] = (struct pollfd){pump_wants_read(&r->up) ? r->up.from : -1,
				   POLLIN, 0};
	p[STREAM] = (struct pollfd){
		r->hung_up ? -1 : r->stream,
		(short)((in ? POLLIN : 0) | (out ? POLLOUT : 0)), 0};
	p[STDOUT] = (struct pollfd){
		pump_wants_write(&r->down) ? r->down.to : -1, POLLOUT, 0};
}

/* Return: CLI_OK, or the status after a reported error. */
static int step(struct relay *r, const struct pollfd p[N_POLL])
{
	enum pump_error e;

	/* A hung-up stream still has bytes, and never lets a read wait. */
	if (p[STREAM].revents & (POLLHUP | POLLERR))
		r->hung_up = true;
	if ((r->hung_up || p[STREAM].revents & POLLIN) &&
	    pump_wants_read(&r->down)) {
		e = pump_read(&r->down);
		if (e)
			return report(r, &r->down, e);
	}
	if (p[STDOUT].revents && pump_wants_write(&r->down)) {
		e = pump_write(&r->down);
		if (e)
			return report(r, &r->down, e);
	}
	if (p[STDIN].revents && pump_wants_read(&r->up)) {
		e = pump_read(&r->up);
		if (e)
			return report(r, &r->up, e);
	}
	if ((r->hung_up || p[STREAM].revents & POLLOUT) &&
	    pump_wants_write(&r->up)) {
		e = pump_write(&r->up);
		if (e)
			return report(r, &r->up, e);
	}
	return CLI_OK;
}

static int loop(struct relay *r)
{
	struct pollfd p[N_POLL];
	int status = CLI_OK;

	while (status == CLI_OK && !finished(r)) {
		fill_poll(r, p);
		/* Nothing to wait for: a hung-up stream that can be read. */
		if (poll(p, N_POLL,
			 r->hung_up && pump_wants_read(&r->down) ? 0 : -1) <
			    0 &&
		    errno != EINTR)
			return cli_error(CLI_FAILED, "poll: %s",
					 strerror(errno));
		status = step(r, p);
		pass_on_ends(r);
	}
	return status;
}

/* What came before an error came whole, and is for whoever reads stdout. */
static void flush_stdout(struct relay *r)
{
	struct pollfd p = {.fd = r->down.to, .events = POLLOUT};

	while (pump_wants_write(&r->down)) {
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			return;
		if (pump_write(&r->down) == PUMP_WRITE)
			return;
	}
}

/* The stream is over: is there something that it should have taken? Nobody
 * having typed anything is not that. */
static bool has_left_over(const struct relay *r)
{
	struct pollfd p = {STDIN_FILENO, POLLIN, 0};
	char c;

	if (pump_has_unsent(&r->up))
		return true;
	return !r->up.eof && poll(&p, 1, 0) == 1 && p.revents & POLLIN &&
	       read(STDIN_FILENO, &c, 1) == 1;
}

int relay_run(int stream, bool messages, struct relay_sum *ret)
{
	struct relay r = {.stream = stream};
	int status;

	outlet_open(&r.out, STDOUT_FILENO);
	if (pump_init(&r.up, STDIN_FILENO, stream,
		      messages ? PUMP_LINES_TO_MESSAGES : PUMP_BYTES) &&
	    pump_init(&r.down, stream, r.out.fd,
		      messages ? PUMP_MESSAGES_TO_LINES : PUMP_BYTES))
		status = loop(&r);
	else
		status = cli_error(CLI_FAILED, "out of memory");
	if (status != CLI_OK)
		flush_stdout(&r);
	else if (r.down.broken)
		status = 128 + SIGPIPE;
	ret->sent = r.up.written;
	ret->left_over = status == CLI_OK && has_left_over(&r);
	pump_done(&r.up);
	pump_done(&r.down);
	outlet_close(&r.out);
	close(stream);
	return status;
}

int relay_wait_for_end(const char *vm, const char *id, struct vmc_status *ret)
{
	uint64_t end = cli_now_us() + (uint64_t)RESULT_MS * 1000u;
	int r, step_ms = 1;

	cli_progress_begin("waiting until the other side has all bytes");
	do {
		r = vmc_stream_status(vm, id, ret);
		if (r || ret->state == VMC_STREAM_ENDED)
			break;
		poll(NULL, 0, step_ms);
		step_ms = step_ms * 2 < RESULT_STEP_MS ? step_ms * 2
						       : RESULT_STEP_MS;
		cli_progress_tick();
	} while (cli_now_us() < end);
	cli_progress_end();
	return r;
}

int relay_result(const char *vm, const char *id, const struct relay_sum *sum)
{
	struct vmc_status s;
	int r = relay_wait_for_end(vm, id, &s);

	if (r)
		return cli_error(CLI_FAILED,
				 "%s: how the stream %s ended is not known: %s",
				 vm, id, vmc_strerror());
	if (s.state != VMC_STREAM_ENDED)
		return cli_error(CLI_FAILED,
				 "%s: the other side has not confirmed the end "
				 "of stream %s; ask 'vmchannel status %s %s' "
				 "later",
				 vm, id, vm, id);
	if (s.reason != VMC_REASON_OK)
		return cli_error(
			CLI_FAILED,
			"%s: the stream was reset: %s (%s); %llu bytes "
			"came, %llu bytes were taken over by the other "
			"side",
			vm, vmc_reason_text(s.reason),
			vmc_reason_name(s.reason),
			(unsigned long long)s.bytes_in,
			(unsigned long long)s.bytes_out);
	if (sum->left_over || s.bytes_out < sum->sent)
		return cli_error(CLI_FAILED,
				 "%s: the other side ended the stream before "
				 "it had all of stdin; it has taken %llu bytes",
				 vm, (unsigned long long)s.bytes_out);
	return CLI_OK;
}
