#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh SOURCE SECONDS: build all targets with clang in the current directory and
# run each for that long, as many at one time as there are processors. What is found
# goes to new/NAME, what was printed to NAME.log; a failing input to crash-*.

set -eu

# one SOURCE SECONDS TARGET
one()
{
	source=$1 seconds=$2 name=${3##*/fuzz_}
	mkdir -p "new/$name"
	if "./$3" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 \
		-print_final_stats=1 "new/$name" "$source/tests/fuzz/corpus/$name" \
		>"$name.log" 2>&1; then
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$name.log")
		printf 'ok   %s: %s runs\n' "$name" "$runs"
	else
		tail -n 40 "$name.log"
		printf 'FAIL %s: see %s/%s.log\n' "$name" "$PWD" "$name"
		return 1
	fi
}

if [ "$1" = --one ]; then
	shift
	one "$@"
	exit
fi
source=$1 seconds=$2
jobs=$(getconf _NPROCESSORS_ONLN)
[ -f config.status ] || "$source/configure" -q --enable-werror --enable-fuzzers \
	--enable-sanitizers=address,undefined CC=clang CFLAGS="-g -O1"
make -j "$jobs" check TESTS=
set --
for target in tests/fuzz/fuzz_*; do
	if [ -f "$target" ] && [ -x "$target" ]; then
		set -- "$@" "$target"
	fi
done
printf '%s targets, %s s each\n' $# "$seconds"
[ $# -gt 0 ]
printf '%s\n' "$@" | xargs -P "$jobs" -n 1 sh "$source/tests/fuzz/run.sh" --one "$source" "$seconds"
