# SPDX-License-Identifier: BSD-2-Clause

# PH_CC_FLAGS(VARIABLE, FLAGS): append each flag that the compiler takes.
AC_DEFUN([PH_CC_FLAGS], [
	for ph_flag in m4_normalize([$2]); do
		ph_save="$CFLAGS"
		CFLAGS="$CFLAGS -Werror $ph_flag"
		AC_MSG_CHECKING([whether $CC takes $ph_flag])
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
			[AC_MSG_RESULT([yes]); $1="$$1 $ph_flag"],
			[AC_MSG_RESULT([no])])
		CFLAGS="$ph_save"
	done
])

# PH_LD_FLAGS(VARIABLE, FLAGS): the same for the linker.
AC_DEFUN([PH_LD_FLAGS], [
	for ph_flag in m4_normalize([$2]); do
		ph_save="$LDFLAGS"
		ph_csave="$CFLAGS"
		LDFLAGS="$LDFLAGS $ph_flag"
		CFLAGS="$CFLAGS $HARDEN_CFLAGS"
		AC_MSG_CHECKING([whether the linker takes $ph_flag])
		AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
			[AC_MSG_RESULT([yes]); $1="$$1 $ph_flag"],
			[AC_MSG_RESULT([no])])
		LDFLAGS="$ph_save"
		CFLAGS="$ph_csave"
	done
])

# PH_FORTIFY(VARIABLE): the highest _FORTIFY_SOURCE that compiles clean.
# A distribution's compiler may define one itself, so it is undefined first.
AC_DEFUN([PH_FORTIFY], [
	for ph_level in 3 2; do
		ph_save="$CFLAGS"
		ph_flag="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$ph_level"
		CFLAGS="$CFLAGS -Werror $ph_flag"
		AC_MSG_CHECKING([for _FORTIFY_SOURCE=$ph_level])
		AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [])],
			[AC_MSG_RESULT([yes]); $1="$ph_flag"; CFLAGS="$ph_save"; break],
			[AC_MSG_RESULT([no])])
		CFLAGS="$ph_save"
	done
])
