#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# run.sh SOURCE SECONDS: build all targets with clang in the current directory and run
#     each for that long, each time with other seeds: for what nobody has seen yet.
# run.sh SOURCE gate: the same targets over a number of inputs that are the same every time
#     (mutate.c), so that a change is not judged by chance.
#
# As many run at one time as there are processors. What is found goes to new/NAME, what was
# printed to NAME.log; a failing input to crash-*.

set -eu

# Some seconds each.
runs_of()
{
	case $1 in
	address | frame | header | record | request) echo 300000 ;;
	client | command | mail | port_file | story | users) echo 100000 ;;
	dot | server | summary) echo 20000 ;;
	conf | intake | reply) echo 10000 ;;
	recover) echo 1000 ;;
	*) echo 5000 ;;
	esac
}

# one SOURCE SECONDS|gate TARGET
one()
{
	source=$1 how=$2 target=$3 name=${3##*/fuzz_} status=0
	corpus=$source/tests/fuzz/corpus/$name
	if [ "$how" = gate ]; then
		runs=$(runs_of "$name")
		"./$target" --mutate "$runs" "$corpus" >"$name.log" 2>&1 || {
			status=1
			"./$target" --mutate "$runs" "$corpus" "crash-$name" >/dev/null 2>&1 || true
		}
	else
		rm -rf "new/$name"
		mkdir -p "new/$name"
		"./$target" -max_total_time="$how" -timeout=5 -rss_limit_mb=1024 -print_final_stats=1 \
			"new/$name" "$corpus" >"$name.log" 2>&1 || status=1
		runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$name.log")
	fi
	if [ $status = 0 ]; then
		printf 'ok   %s: %s runs\n' "$name" "$runs"
	else
		tail -n 40 "$name.log"
		printf 'FAIL %s: see %s/%s.log and crash-*\n' "$name" "$PWD" "$name"
	fi
	return $status
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
	printf '%s targets, a number of runs each\n' $#
else
	printf '%s targets, %s s each\n' $# "$how"
fi
[ $# -gt 0 ]
printf '%s\n' "$@" | xargs -P "$jobs" -n 1 sh "$source/tests/fuzz/run.sh" --one "$source" "$how"
