/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/salvage.h"

#include "spool/quarantine.h"
#include "spool/state.h"

#include "base/banned.h"

static struct quarantine_note
note(const struct salvage *sv, spool_id message, const char *why)
{
	return (struct quarantine_note){ .found_ms = sv->found_ms, .message = message, .why = why };
}

/* --- what is missing --------------------------------------------------------- */

static void
found_absent(struct salvage *sv, const struct absence *a)
{
	char why[ABSENCE_TEXT_MAX];
	struct quarantine_note n = note(sv, 0, absence_text(why, a));

	/* Failure is told by the err; there is nothing to keep for another attempt. */
	(void)quarantine_absence(sv->fs, a->segment, a->at, a->length, &n, &sv->note_err);
	sv->absent[sv->nabsent++] = *a;
}

void
salvage_gone(struct salvage *sv, uint32_t number)
{
	struct absence a;

	if (absence_of_segment(&a, sv->fs, number))
		found_absent(sv, &a);
}

void
salvage_end(struct salvage *sv, const struct segment *sg, bool no_end)
{
	struct absence a;

	if (absence_of_end(&a, sg, no_end))
		found_absent(sv, &a);
}

void
salvage_tell_absent(struct salvage *sv, struct spool *s)
{
	char text[ABSENCE_TEXT_MAX];

	for (unsigned i = 0; i < sv->nabsent; i++)
		trouble(s, "%s", absence_text(text, &sv->absent[i]));
	if (sv->note_err.kind != ERR_NONE)
		trouble(s, "no note of it can be put into quarantine: %s", sv->note_err.text);
	s->absent += sv->nabsent;
	sv->nabsent = 0;
	err_clear(&sv->note_err);
}

/* --- what is damaged --------------------------------------------------------- */

bool
salvage_set_aside(struct salvage *sv, uint32_t number, struct err *e)
{
	struct quarantine_note n = note(sv, 0, "the start of the segment is lost, and no later one knows its nonce");

	return quarantine_segment(sv->fs, number, &n, e) == 0;
}

/* Chunks without the C that would name them are dead, and would go with their segments. */
static void
rescue(struct salvage *sv, uint32_t last, spool_id id, const char *why)
{
	struct quarantine_note n = note(sv, id, why);

	if (sv->copy_err.kind == ERR_NONE && quarantine_chunks(sv->fs, last, &n, &sv->copy_err) == 0)
		sv->rescued++;
}

void
salvage_range(struct salvage *sv, int fd, const struct segment *sg, struct replay *rp)
{
	const struct scan_record *x = &sv->damage;
	struct quarantine_note n = note(sv, x->head.id, x->head.type != 0 ?
	    "the payload of the record fails its checksum" : "the header of a record can't be read");

	/* Failure is told by the err. */
	err_clear(&sv->copy_err);
	(void)quarantine_range(sv->fs, fd, sg->number, x->at, x->length, &n, &sv->copy_err);
	if (x->head.type == RECORD_COMMIT)
		rescue(sv, sg->number, x->head.id, "the record that completes the message is "
		    "damaged; these are its parts");
	else if (x->head.type == 0)
		replay_lost_header(rp);
}

void
salvage_tell_range(struct salvage *sv, struct spool *s, struct segment *sg)
{
	const struct scan_record *x = &sv->damage;

	sg->unfit = true;
	if (sv->copy_err.kind != ERR_NONE) {
		trouble(s, "segment %016x is damaged at %llu, %llu bytes; they can't be copied to "
		    "quarantine, the segment is kept: %s", sg->number, (unsigned long long)x->at,
		    (unsigned long long)x->length, sv->copy_err.text);
		sg->kept = true;
		s->unreadable = true;	/* nor may those go that hold its chunks */
		return;
	}
	trouble(s, "segment %016x is damaged at %llu, %llu bytes: copied to quarantine, message %016llx",
	    sg->number, (unsigned long long)x->at, (unsigned long long)x->length,
	    (unsigned long long)x->head.id);
}

void
salvage_chunks(struct salvage *sv, uint32_t last, struct replay *rp)
{
	spool_id id;

	err_clear(&sv->copy_err);
	for (size_t pos = 0; (id = replay_next_lost(rp, &pos)) != 0;)
		rescue(sv, last, id, "perhaps the record that completes the message is "
		    "damaged; these are its parts, or what came of it before it was given up");
}

void
salvage_tell_chunks(struct salvage *sv, struct spool *s)
{
	if (sv->rescued != 0)
		trouble(s, "a damaged record completes a message, or may do so: the parts of %u messages are "
		    "copied to quarantine", sv->rescued);
	if (sv->copy_err.kind == ERR_NONE)
		return;
	s->unreadable = true;
	trouble(s, "the parts of a message whose last record is damaged can't be copied to quarantine, all "
	    "segments are kept: %s", sv->copy_err.text);
}

/* --- what is lost with a tail ------------------------------------------------- */

void
salvage_torn(struct salvage *sv, const struct segment *sg, uint64_t at)
{
	if (at < sg->size)
		sv->torn[sv->ntorn++ % SALVAGE_TORN_MAX] = (struct torn_tail){ sg->number, at, sg->size - at };
}

static void
copy_torn(struct salvage *sv, const struct torn_tail *t)
{
	char name[SEGMENT_NAME_MAX];
	struct quarantine_note n = note(sv, sv->orphan, "a message is lost of which a later record tells; it may have stood "
	    "here, where what was written last before a kill could not be read");
	int fd = fs_open(sv->fs, segment_name(name, DIR_LOG, t->segment), FS_READ, &sv->torn_err);

	if (fd < 0)
		return;
	(void)quarantine_range(sv->fs, fd, t->segment, t->at, t->length, &n, &sv->torn_err);	/* told by the err */
	fs_close(sv->fs, fd);
}

void
salvage_orphans(struct salvage *sv, const struct replay *rp)
{
	uint32_t segment, last = 0;
	spool_id id;

	err_clear(&sv->torn_err);
	for (size_t pos = 0; (id = replay_next_orphan(rp, &pos, &segment)) != 0; sv->orphans++) {
		if (sv->orphans == 0 || id < sv->orphan)
			sv->orphan = id;
		if (segment > last)
			last = segment;
	}
	/* Not those of later starts: whatever is there was written since. */
	for (unsigned i = 0; i < sv->ntorn && i < SALVAGE_TORN_MAX; i++)
		if (sv->torn[i].segment >= sv->orphan >> 24 && sv->torn[i].segment <= last)
			copy_torn(sv, &sv->torn[i]);
}

void
salvage_tell_orphans(struct salvage *sv, struct spool *s)
{
	/* It may stand in what could not be read. */
	if (sv->orphans == 0 || s->unreadable)
		return;
	trouble(s, "%u messages are missing, the first is %016llx: records tell how they stood, but neither they nor their "
	    "ends can be read; where they may have stood was %s quarantine", sv->orphans,
	    (unsigned long long)sv->orphan, sv->torn_err.kind == ERR_NONE ? "copied to" : "not copied to");
}
