#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh SOURCE SECONDS: build all targets with clang in the current directory and run
#     each for that long, each time with other seeds: for what nobody has seen yet.
# run.sh SOURCE gate: the same with one seed and the runs of each target that are listed
#     below: the same inputs each time, so that a change is not judged by chance.
#
# As many run at one time as there are processors. What is found goes to new/NAME, what was
# printed to NAME.log; a failing input to crash-*.

set -eu

SEED=1

# About 10 s each on a quiet processor.
runs_of()
{
	case $1 in
	address) echo 400000 ;;
	client) echo 150000 ;;
	conf) echo 8000 ;;
	dot) echo 20000 ;;
	frame) echo 400000 ;;
	intake) echo 4000 ;;
	mail) echo 100000 ;;
	record) echo 1000000 ;;
	recover) echo 2000 ;;
	reply) echo 10000 ;;
	request) echo 400000 ;;
	server) echo 25000 ;;
	story) echo 100000 ;;
	summary) echo 10000 ;;
	*) echo 5000 ;;
	esac
}

# one SOURCE SECONDS|gate TARGET
one()
{
	source=$1 how=$2 target=$3 name=${3##*/fuzz_}
	rm -rf "new/$name"
	mkdir -p "new/$name"
	if [ "$how" = gate ]; then
		runs=$(runs_of "$name")
		# No clock: not even an input that takes long fails on a busy machine.
		set -- -seed="$SEED" -runs="$runs" -reload=0 -timeout=300
	else
		set -- -max_total_time="$how" -timeout=5
	fi
	if "./$target" "$@" -rss_limit_mb=1024 -print_final_stats=1 "new/$name" \
		"$source/tests/fuzz/corpus/$name" >"$name.log" 2>&1; then
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
source=$1 how=$2
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
if [ "$how" = gate ]; then
	printf '%s targets, seed %s, a number of runs each\n' $# "$SEED"
else
	printf '%s targets, %s s each\n' $# "$how"
fi
[ $# -gt 0 ]
printf '%s\n' "$@" | xargs -P "$jobs" -n 1 sh "$source/tests/fuzz/run.sh" --one "$source" "$how"
