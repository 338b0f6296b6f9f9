/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery of whatever stands in log/. The input is a list of instructions: records that are
 * right, records with a wrong checksum, tag or length, bytes of any kind, bytes changed
 * afterwards, ends cut off; in up to three segments that know of each other or not.
 *
 * What must hold: it ends; a message that can be read is one that was written, byte for byte;
 * a second recovery, after a kill behind the first, finds the same, but for copies of damaged
 * messages that have been moved meanwhile; and so does the walk without the daemon, which reads
 * all in one go.
 */
#include "base/crc32c.h"
#include "fuzz.h"
#include "mail/envelope.h"
#include "spool/lines.h"
#include "spool/record.h"
#include "spool/segment.h"
#include "spool/walk.h"
#include "unit/spool/world.h"

#include "base/banned.h"

#define SEGMENTS	3u
#define FIRST		1000u		/* number of the first segment; the others follow */
#define IDS		6u
#define CHUNKS		8u
#define KNOWN		64u
#define BYTES_MAX	(1u << 20)

struct known {
	spool_id	id;
	struct buf	text;
};

struct maker {
	struct twin_fs	*fs;
	struct buf	 bytes;		/* of the present segment */
	unsigned	 nsegments;
	uint64_t	 seed, nonce;	/* not to be found by guessing */
	uint64_t	 epoch, index;
	struct buf	 lines;		/* an envelope */
	struct {
		struct buf	 text;
		struct extent	 extent[CHUNKS];
		uint32_t	 n;
	} coming[IDS];
	struct known	 known[KNOWN];	/* every text that was written with a commit */
	size_t		 nknown;
};

enum flaw { GOOD, BAD_CRC, BAD_TAG, BAD_LENGTH, FLAWS };

static spool_id
id_of(unsigned i)
{
	return (spool_id)FIRST << 24 | (1 + i % IDS);
}

static void
put_record(struct maker *m, uint8_t type, spool_id id, struct view payload, unsigned flaw)
{
	static const uint8_t newlines[RECORD_UNIT] = { '\n', '\n' };
	uint8_t head[RECORD_HEADER];
	struct record r = { .type = type, .index = (uint16_t)m->index++, .epoch = m->epoch, .id = id,
		.length = (uint32_t)payload.n, .crc = crc32c(0, payload) };
	size_t pad = (size_t)(record_room(payload.n) - RECORD_HEADER - payload.n);

	r.crc ^= flaw == BAD_CRC;
	r.length += flaw == BAD_LENGTH ? 100000 : 0;
	record_put(head, &r, flaw == BAD_TAG ? m->nonce + 1 : m->nonce);
	require(buf_add(&m->bytes, view_of(head, sizeof(head))) && buf_add(&m->bytes, payload) &&
	    buf_add(&m->bytes, view_of(newlines, pad)));
}

static void
remember(struct maker *m, spool_id id, struct view text)
{
	struct known *k = &m->known[m->nknown++];

	k->id = id;
	buf_init(&k->text, BYTES_MAX);
	require(buf_add(&k->text, text));
}

/* --- instructions ------------------------------------------------------------------ */

static void
begin_segment(struct maker *m, unsigned choice)
{
	struct segment_start start = { .format = SPOOL_FORMAT, .number = FIRST + m->nsegments,
		.created_ms = 1795332600000 };
	struct buf text;

	if (m->nsegments > 0 && (choice & 1) != 0) {
		start.previous = start.number - 1;
		start.previous_nonce = m->nonce;
	}
	if (m->nsegments > 0 && (choice & 2) != 0) {
		start.abandons = start.number - 1;
		start.abandons_tail = (choice & 4) != 0;
		start.abandons_from = (choice & 4) != 0 ? 0 : (choice >> 3) * RECORD_UNIT;
	}
	start.nonce = m->nonce = (m->seed + m->nsegments + 1) * UINT64_C(0x9e3779b97f4a7c15);
	m->epoch = m->index = 0;
	buf_init(&text, LINES_START_MAX);
	require(lines_put_start(&text, &start));
	put_record(m, RECORD_START, 0, buf_view(&text), GOOD);
	buf_done(&text);
	m->epoch = 1;
	m->index = 0;
	m->nsegments++;
}

static void
end_segment(struct maker *m)
{
	char name[64];
	struct iovec v = { m->bytes.data + m->bytes.off, buf_len(&m->bytes) };
	int fd;

	segment_name(name, DIR_LOG, FIRST + m->nsegments - 1);
	fd = fs_open(&m->fs->fs, name, FS_CREATE, NULL);
	require(fd >= 0 && fs_writev(&m->fs->fs, fd, &v, 1, 0, NULL) == 0 &&
	    fs_sync(&m->fs->fs, fd, NULL) == 0);
	fs_close(&m->fs->fs, fd);
	buf_clear(&m->bytes);
}

static void
put_payload(struct maker *m, struct buf *out, struct view text)
{
	require(buf_add(out, buf_view(&m->lines)) && lines_put_tail(out, text.n, false) &&
	    buf_add_byte(out, '\n') && buf_add(out, text));
}

static void
put_message(struct maker *m, spool_id id, struct view text, unsigned flaw)
{
	struct buf payload;

	buf_init(&payload, BYTES_MAX);
	put_payload(m, &payload, text);
	put_record(m, RECORD_MESSAGE, id, buf_view(&payload), flaw);
	buf_done(&payload);
	remember(m, id, text);
}

static void
put_group(struct maker *m, spool_id finished, spool_id id, struct view text, unsigned flaw)
{
	uint8_t head[RECORD_PART];
	struct buf payload, all;

	buf_init(&payload, BYTES_MAX);
	buf_init(&all, BYTES_MAX);
	put_payload(m, &payload, text);
	record_put_part(head, RECORD_MESSAGE, id, (uint32_t)buf_len(&payload));
	require(buf_add(&all, view_of(head, sizeof(head))) && buf_add(&all, buf_view(&payload)));
	record_put_part(head, RECORD_FINISH, finished, 0);
	require(buf_add(&all, view_of(head, sizeof(head))));
	put_record(m, RECORD_GROUP, finished, buf_view(&all), flaw);
	buf_done(&payload);
	buf_done(&all);
	remember(m, id, text);
}

static void
put_chunk(struct maker *m, unsigned i, struct view text, unsigned flaw)
{
	struct buf payload;
	struct extent *x;

	if (m->coming[i].n == CHUNKS)
		return;
	buf_init(&payload, BYTES_MAX);
	require(m->coming[i].n > 0 || buf_add(&payload, buf_view(&m->lines)));
	require(buf_add(&payload, text) && buf_add(&m->coming[i].text, text));
	x = &m->coming[i].extent[m->coming[i].n++];
	*x = (struct extent){ FIRST + m->nsegments - 1, (uint32_t)(buf_len(&m->bytes) / RECORD_UNIT),
		(uint32_t)buf_len(&payload), crc32c(0, buf_view(&payload)) };
	put_record(m, RECORD_CHUNK, id_of(i), buf_view(&payload), flaw);
	buf_done(&payload);
}

static void
put_commit(struct maker *m, unsigned i, unsigned flaw)
{
	struct commit_lines c = { .size = buf_len(&m->coming[i].text), .received_ms = 1795332600000,
		.nrcpt = 2, .envelope = (uint32_t)buf_len(&m->lines), .nextent = m->coming[i].n,
		.extent = m->coming[i].extent };
	struct buf payload;

	buf_init(&payload, BYTES_MAX);
	require(lines_put_commit(&payload, &c));
	put_record(m, RECORD_COMMIT, id_of(i), buf_view(&payload), flaw);
	buf_done(&payload);
	remember(m, id_of(i), buf_view(&m->coming[i].text));
	buf_clear(&m->coming[i].text);
	m->coming[i].n = 0;
}

static void
put_outcome(struct maker *m, uint8_t type, unsigned i, unsigned how, struct view any, unsigned flaw)
{
	static const char *const lines[] = {
		"attempts: 1\nstate: 0-1 delivered 250\n",
		"attempts: 2\nnext: 2026-11-22T07:30:23.120Z\nflags: held uncertain\nstate: 1-1 failed 550\n",
		"prev: 000003e8 00000040\nattempts: 65535\nstate: 0-99 expired 0\ntext: 0-1 4.4.1 late\n",
	};

	put_record(m, type, id_of(i), how % 4 == 3 ? any : view_str(lines[how % 4]), flaw);
}

static void
change_byte(struct maker *m, unsigned at, unsigned by)
{
	size_t n = buf_len(&m->bytes);

	if (n > 0)
		m->bytes.data[m->bytes.off + (at * 17) % n] ^= (uint8_t)(by | 1);
}

static void
raw_bytes(struct maker *m, struct view v)
{
	static const uint8_t zeros[RECORD_UNIT];

	require(buf_add(&m->bytes, v));
	require(buf_add(&m->bytes, view_of(zeros, (RECORD_UNIT - v.n % RECORD_UNIT) % RECORD_UNIT)));
}

static void
follow(struct maker *m, struct view *in)
{
	unsigned what = fuzz_choice(in), i = fuzz_choice(in), flaw = fuzz_choice(in) >> 4;
	struct view text = fuzz_piece(in);

	/* Right records are the most of them. */
	flaw = flaw < FLAWS ? flaw : GOOD;
	switch (what % 12) {
	case 0:
		put_message(m, id_of(i), text, flaw);
		break;
	case 1:
		put_chunk(m, i % IDS, text, flaw);
		break;
	case 2:
		put_commit(m, i % IDS, flaw);
		break;
	case 3:
		put_outcome(m, RECORD_UPDATE, i, i >> 4, text, flaw);
		break;
	case 4:
		put_outcome(m, RECORD_FINISH, i, i >> 4, text, flaw);
		break;
	case 5:
		put_group(m, id_of(i), id_of(i >> 4), text, flaw);
		break;
	case 6:
		m->epoch += 1 + (i > 250);
		m->index = 0;
		break;
	case 7:
		put_record(m, RECORD_SEAL, 0, VIEW("records: 3\nbytes: 320\n"), flaw);
		break;
	case 8:
		raw_bytes(m, text);
		break;
	case 9:
		change_byte(m, i + 256u * (unsigned)text.n, what);
		break;
	case 10:
		put_record(m, (uint8_t)('A' + i % 26), id_of(i), text, flaw);
		break;
	default:
		if (m->nsegments == SEGMENTS)
			break;
		end_segment(m);
		begin_segment(m, i);
		break;
	}
}

static void
make_spool(struct maker *m, struct twin_fs *fs, struct view in)
{
	struct envelope env;

	*m = (struct maker){ .fs = fs, .seed = crc32c(0, in) | (uint64_t)in.n << 32 };
	buf_init(&m->bytes, BYTES_MAX);
	buf_init(&m->lines, 4096);
	for (unsigned i = 0; i < IDS; i++)
		buf_init(&m->coming[i].text, BYTES_MAX);
	envelope_init(&env);
	env.from = VIEW("alice@example.com");
	envelope_add_rcpt(&env, VIEW("bob@example.net"));
	envelope_add_rcpt(&env, VIEW("eve@example.net"));
	env.received_ms = 1795332600000;
	env.helo = VIEW("web1");
	env.protocol = PROTOCOL_ESMTP;
	require(envelope_encode(&m->lines, &env));
	envelope_done(&env);

	require(fs_mkdir(&fs->fs, DIR_LOG, NULL) == 0 && fs_sync_dir(&fs->fs, "", NULL) == 0);
	begin_segment(m, 0);
	while (in.n > 0 && m->nknown < KNOWN && buf_len(&m->bytes) < 60000)
		follow(m, &in);
	end_segment(m);
	require(fs_sync_dir(&fs->fs, DIR_LOG, NULL) == 0);
}

static void
maker_done(struct maker *m)
{
	buf_done(&m->bytes);
	buf_done(&m->lines);
	for (unsigned i = 0; i < IDS; i++)
		buf_done(&m->coming[i].text);
	for (size_t i = 0; i < m->nknown; i++)
		buf_done(&m->known[i].text);
}

/* --- what is found -------------------------------------------------------------------- */

static bool
was_written(const struct maker *m, spool_id id, struct view text)
{
	for (size_t i = 0; i < m->nknown; i++)
		if (m->known[i].id == id && view_eq(buf_view(&m->known[i].text), text))
			return true;
	return false;
}

static void
describe(struct buf *out, struct world *w, const struct maker *m, spool_id id)
{
	struct spool_message *msg = spool_find(w->spool, id);
	const struct spool_rcpt *rc;
	struct buf text;
	struct err e = { 0 };
	uint32_t nrcpt = 0;
	enum reader_result rr;

	if (msg == NULL)
		return;
	rc = spool_rcpts(msg);
	require(buf_addf(out, "%016llx %u %u %u %lld:", (unsigned long long)id, msg->nrcpt, msg->attempts,
	    msg->flags & ~(unsigned)SPOOL_DAMAGED, (long long)msg->next_ms));
	for (uint32_t i = 0; i < msg->nrcpt; i++)
		require(buf_addf(out, " %u/%u", rc[i].state, rc[i].code));
	buf_init(&text, BYTES_MAX);
	rr = world_read(w, id, &text, &nrcpt, &e);
	require(rr == READER_END || rr == READER_BAD);
	if (rr == READER_END)
		require(nrcpt == msg->nrcpt && was_written(m, id, buf_view(&text)));
	/* Of what can't be read to its end there is less when it was moved. */
	require(rr == READER_END ? buf_addf(out, " %08x\n", crc32c(0, buf_view(&text))) :
	    buf_addf(out, " bad\n"));
	buf_done(&text);
}

static void
recover(struct buf *out, struct world *w, struct twin_fs *fs, const struct maker *m)
{
	world_init(w, fs);
	world_open(w);
	world_run(w, 1000);
	require(w->recovered == 1);
	for (unsigned i = 0; i < IDS; i++)
		describe(out, w, m, id_of(i));
	require(w->ntold <= IDS);
	require(buf_addf(out, "%zu told\n", w->ntold));
}

static bool
add_text(void *owner, struct view v)
{
	return buf_add(owner, v);
}

/* The same messages with the same texts, or both can't read them. */
static void
compare_walk(struct world *w, struct twin_fs *fs)
{
	struct walk *walk;

	require(walk_new(&walk, &fs->fs, NULL) == 0);
	for (unsigned i = 0; i < IDS; i++) {
		const struct spool_message *m = walk_find(walk, id_of(i));
		struct buf one, other;
		uint32_t nrcpt = 0;

		require((m != NULL) == (spool_find(w->spool, id_of(i)) != NULL));
		if (m == NULL)
			continue;
		buf_init(&one, BYTES_MAX);
		buf_init(&other, BYTES_MAX);
		if (world_read(w, id_of(i), &one, &nrcpt, NULL) == READER_END)
			require(walk_text(walk, m, add_text, &other, NULL) == 0 &&
			    view_eq(buf_view(&one), buf_view(&other)));
		else
			require(walk_text(walk, m, add_text, &other, NULL) < 0);
		buf_done(&one);
		buf_done(&other);
	}
	walk_free(walk);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct twin_fs fs;
	struct buf first, second;
	struct world w;
	struct maker m;
	size_t copies;
	bool bad;

	twin_fs_init(&fs);
	make_spool(&m, &fs, view_of(data, size));
	buf_init(&first, BYTES_MAX);
	buf_init(&second, BYTES_MAX);
	recover(&first, &w, &fs, &m);
	compare_walk(&w, &fs);
	world_kill(&w);
	twin_loop_done(&w.twin);
	copies = twin_fs_count(&fs, "quarantine");
	recover(&second, &w, &fs, &m);
	require(view_eq(buf_view(&first), buf_view(&second)));
	bad = view_search(buf_view(&first), VIEW(" bad\n")) != buf_len(&first);
	require(bad ? twin_fs_count(&fs, "quarantine") >= copies : twin_fs_count(&fs, "quarantine") == copies);
	world_end(&w);
	buf_done(&first);
	buf_done(&second);
	maker_done(&m);
	return 0;
}
