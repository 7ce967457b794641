#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the engine, its tests, the C example and benchmarks/step.c in a folder and runs the tests: by CMake, or by a compiler alone.
# Usage: test_kernels.sh FOLDER [option for cmake ...]
# CC=... names the compiler, which may be one for another processor; with BUILD_ONLY=1 nothing is run.
set -eu
folder=$1
shift
cc=${CC:-cc}
build_only=${BUILD_ONLY:-}
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
mkdir -p "$folder"

if command -v cmake >/dev/null 2>&1; then
    cmake -S kernels -B "$folder" -DCMAKE_C_COMPILER="$cc" "$@" >"$folder/configure.log" || { cat "$folder/configure.log"; exit 1; }
    cmake --build "$folder" -j "$jobs" >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; exit 1; }
    grep -i "warning:" "$folder/build.log" || true
    [ -n "$build_only" ] || (cd "$folder" && ctest --output-on-failure -j "$jobs")
    library=$folder/libtinyrnn.a
else
    # The flags are those of CMakeLists.txt that decide what is computed. One compiler call a file, so that a repeated call builds what has changed.
    flags="-std=c11 -O3 -ffp-contract=off -Wall -Wextra -Ikernels/include -Ikernels/src"
    newest=$(find kernels tests/kernels benchmarks -name '*.[ch]' -newer "$folder/done" -o -name '*.def' -newer "$folder/done" 2>/dev/null | head -1)
    library=$folder/libtinyrnn.a
    if [ -n "$newest" ] || [ ! -e "$folder/done" ]; then
        for source in kernels/src/*.c kernels/src/ops/*.c kernels/src/arch/*.c; do
            echo "$source"
        done | xargs -P "$jobs" -I {} sh -c "$cc $flags -c {} -o \"$folder/\$(echo {} | tr / _).o\""
        rm -f "$library"
        # The archiver of that compiler: another's makes no index of its objects.
        "$($cc -print-prog-name=ar 2>/dev/null || echo ar)" rcs "$library" "$folder"/kernels_*.o
        for test in tests/kernels/check_*.c tests/kernels/test_*.c; do
            $cc $flags "$test" -Itests/kernels -o "$folder/$(basename "$test" .c)" "$library" -lm
        done
        $cc $flags benchmarks/step.c benchmarks/ceiling.c -o "$folder/step" "$library" -lm
        touch "$folder/done"
    fi
    for test in tests/kernels/check_*.c tests/kernels/test_*.c; do
        [ -z "$build_only" ] || break
        name=$(basename "$test" .c)
        if "$folder/$name" >"$folder/$name.log" 2>&1; then
            echo "passed $name"
        else
            cat "$folder/$name.log"
            echo "FAILED $name" >&2
            exit 1
        fi
    done
fi
[ -e "$library" ] && case " $* " in *sanitize* | *SANITIZE*) ;; *)
    "$cc" -std=c11 -O2 -Wall -Wextra -Ikernels/include examples/c/stream.c -o "$folder/stream" "$library" -lm ;;
esac
exit 0
