#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# valgrind.sh TEST...: each unit test of these under Memcheck: invalid memory, values never set, what was
# lost at the end. Reports of children count, too. Closes with one line.

set -u

POSTHOUSE_TEST_VALGRIND=1		# for what Memcheck can't imitate
POSTHOUSE_TEST_PATIENCE=${POSTHOUSE_TEST_PATIENCE:-600}
export POSTHOUSE_TEST_VALGRIND POSTHOUSE_TEST_PATIENCE
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
	# Children, too: a report in the log is one, whatever the exit status.
	if valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect --error-exitcode=99 \
		--errors-for-leak-kinds=definite,indirect "./$test" >"$log" 2>&1 && ! grep -q '^==[0-9]*== ' "$log"; then
		good=$((good + 1))
		rm -f "$log"
	else
		bad=$((bad + 1))
		printf 'FAIL %s: see %s\n' "$test" "$log"
	fi
done
printf 'valgrind: %s unit tests clean, %s not\n' $good $bad
[ $bad = 0 ] && [ $good != 0 ]
