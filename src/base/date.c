/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/date.h"

#include <stdio.h>

#include "base/num.h"

#include "base/banned.h"

#define DAY_MS 86400000

struct civil {
	int64_t	year;
	int	month, day;		/* 1-based */
	int	weekday;		/* 0 is Sunday */
	int	hour, minute, second, ms;
};

/*
 * Days are counted from 1 March of year 0, so that the leap day is the last of
 * its year; 400 years (an era) have 146097 days. Gregorian throughout.
 */
static void
civil_from_ms(struct civil *c, int64_t wall_ms)
{
	int64_t days = wall_ms / DAY_MS;
	int64_t rest = wall_ms % DAY_MS;
	int64_t era, doe, yoe, doy, mp;

	if (rest < 0) {
		rest += DAY_MS;
		days--;
	}
	c->weekday = (int)(((days + 4) % 7 + 7) % 7);	/* 1 January 1970 was a Thursday */
	days += 719468;					/* 1970-01-01 from 0000-03-01 */
	era = (days >= 0 ? days : days - 146096) / 146097;
	doe = days - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	c->year = yoe + era * 400 + (c->month <= 2);
	c->hour = (int)(rest / 3600000);
	c->minute = (int)(rest / 60000 % 60);
	c->second = (int)(rest / 1000 % 60);
	c->ms = (int)(rest % 1000);
}

static int64_t
days_from_civil(int64_t year, int month, int day)
{
	int64_t era, yoe, doy;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	yoe = year - era * 400;
	doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static const char *const weekdays[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
	"Oct", "Nov", "Dec" };

const char *
date_rfc5322(char text[DATE_MAX], int64_t wall_ms)
{
	struct civil c;

	civil_from_ms(&c, wall_ms);
	(void)snprintf(text, DATE_MAX, "%s, %d %s %04d %02d:%02d:%02d +0000", weekdays[c.weekday],
	    c.day, months[c.month - 1], (int)c.year, c.hour, c.minute, c.second);
	return text;
}

const char *
date_mbox(char text[DATE_MAX], int64_t wall_ms)
{
	struct civil c;

	civil_from_ms(&c, wall_ms);
	(void)snprintf(text, DATE_MAX, "%s %s %2d %02d:%02d:%02d %04d", weekdays[c.weekday],
	    months[c.month - 1], c.day, c.hour, c.minute, c.second, (int)c.year);
	return text;
}

/* Without printf: each line of the history and each record of the spool has one. */
const char *
date_rfc3339(char text[DATE_MAX], int64_t wall_ms)
{
	static const char form[] = "0000-00-00T00:00:00.000Z";
	uint8_t *at = (uint8_t *)text;
	struct civil c;

	civil_from_ms(&c, wall_ms);
	memcpy(text, form, sizeof(form));
	num_dec(at, 4, (uint64_t)c.year);
	num_dec(at + 5, 2, (uint64_t)c.month);
	num_dec(at + 8, 2, (uint64_t)c.day);
	num_dec(at + 11, 2, (uint64_t)c.hour);
	num_dec(at + 14, 2, (uint64_t)c.minute);
	num_dec(at + 17, 2, (uint64_t)c.second);
	num_dec(at + 20, 3, (uint64_t)c.ms);
	return text;
}

static bool
field(struct view v, size_t at, size_t n, uint64_t min, uint64_t max, int *out)
{
	uint64_t value;

	if (v.n < at + n || !num_parse_u64(view_first(view_from(v, at), n), min, max, &value))
		return false;
	*out = (int)value;
	return true;
}

bool
date_parse_rfc3339(struct view v, int64_t *out_ms)
{
	int year, month, day, hour, minute, second, ms = 0;

	if ((v.n != 20 && v.n != 24) || v.p[v.n - 1] != 'Z' || v.p[4] != '-' || v.p[7] != '-' ||
	    v.p[10] != 'T' || v.p[13] != ':' || v.p[16] != ':')
		return false;
	if (v.n == 24 && (v.p[19] != '.' || !field(v, 20, 3, 0, 999, &ms)))
		return false;
	if (!field(v, 0, 4, 1970, 9999, &year) || !field(v, 5, 2, 1, 12, &month) ||
	    !field(v, 8, 2, 1, 31, &day) || !field(v, 11, 2, 0, 23, &hour) ||
	    !field(v, 14, 2, 0, 59, &minute) || !field(v, 17, 2, 0, 60, &second))
		return false;
	*out_ms = days_from_civil(year, month, day) * DAY_MS +
	    ((int64_t)hour * 3600 + minute * 60 + second) * 1000 + ms;
	return true;
}
