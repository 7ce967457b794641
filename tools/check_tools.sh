#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Says in one line what is missing to build and test here, and fails; says nothing when all is there.
# Usage: check_tools.sh PYTHON CC
python=$1
cc=$2
missing=""

add() { missing="$missing${missing:+; }$1"; }

if ! command -v "$python" >/dev/null 2>&1; then
    add "Python 3.10 or later (Debian: apt install python3 python3-venv python3-dev)"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    add "Python 3.10 or later ($python is $("$python" -c 'import platform; print(platform.python_version())'); try make PYTHON=python3.12)"
else
    "$python" -c 'import venv, ensurepip' 2>/dev/null || add "Python's venv (Debian: apt install python3-venv)"
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        add "Python's headers (Debian: apt install python3-dev)"
fi
command -v "$cc" >/dev/null 2>&1 || add "a C compiler (Debian: apt install gcc libc6-dev)"

if [ -n "$missing" ]; then
    echo "missing: $missing" >&2
    exit 1
fi
