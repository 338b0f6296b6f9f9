#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# valgrind.sh TEST...: each unit test of these under Memcheck: invalid memory, values never set, what was
# lost at the end. Reports of children count, too. Closes with one line.

set -u

good=0 bad=0
for test in "$@"; do
	case $test in
	*.py | *.sh) continue ;;
	*/test_sandbox) continue ;;	# its children may not make the calls that Memcheck needs
	esac
	log=$test.valgrind
	case $test in
	tests/unit/*) ;;
	*) continue ;;
	esac
	# Judged by its reports alone: some tests need descriptors or a pace that it does not leave them.
	valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,indirect \
		"./$test" >"$log" 2>&1
	if grep -q '^==[0-9]*== [^ ]' "$log" || ! grep -q '^\[ *OK' "$log"; then
		bad=$((bad + 1))
		printf 'FAIL %s: see %s\n' "$test" "$log"
	else
		good=$((good + 1))
		rm -f "$log"
	fi
done
printf 'valgrind: %s unit tests clean, %s not\n' $good $bad
[ $bad = 0 ] && [ $good != 0 ]
