# Stages of a test run: counted by their runner's own closing figures, sourced by script/test. Wants
# `logs` (a folder), `twice` (stages run once more when they fail) and steps.sh.
# shellcheck shell=bash

passed=0 failed=0 skipped=0 flaky=0

# Every runner's own closing figures; a stage without such figures counts as one.
libtest() { awk '/^test result:/ { p += $4; f += $6; s += $8 } END { print p + 0, f + 0, s + 0 }' "$1"; }
node_test() { awk '/^# pass /{ p += $3 } /^# fail /{ f += $3 } /^# cancelled /{ f += $3 } /^# (skipped|todo) /{ s += $3 } END { print p + 0, f + 0, s + 0 }' "$1"; }
plain() { awk '/^ok /{ p++ } /^not ok /{ f++ } /^skipped /{ s++ } END { print p + 0, f + 0, s + 0 }' "$1"; }
single() { echo "1 0 0"; }

stage() { # stage NAME COUNTER COMMAND...
    local name=$1 counter=$2 log="$logs/$1.log" begun=$EPOCHREALTIME code p f s
    shift 2
    printf '%-10s' "$name"
    run_into "$log" "$@"
    read -r p f s < <(counted "$counter" "$log")
    if [ "$code" != 0 ] && [[ " ${twice[*]} " == *" $name "* ]]; then once_more "$@"; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%5d ok %4d failed %4d skipped %10s\n' "$p" "$f" "$s" "$(since "$begun")"
    if [ "$code" != 0 ]; then
        echo "---- end of $log"
        show_failure "$log"
        echo "----"
    fi
}

run_into() { # run_into LOG COMMAND...: sets code
    local log=$1
    shift
    set +e
    (set -e; "$@") >"$log" 2>&1 </dev/null
    code=$?
    set -e
}

counted() { # counted COUNTER LOG: passed, failed, skipped
    local p f s
    read -r p f s < <("$1" "$2")
    if [ "$1" = single ] && [ "$code" != 0 ]; then p=0 f=1; fi
    # A runner that died has failed, whatever it had counted till then.
    if [ "$code" != 0 ] && [ "$f" = 0 ]; then f=1; fi
    echo "$p $f $s"
}

# What failed on real processes is run once more, for they share a machine with others. What passes
# then is no failure but is named, with the first run's log kept: somebody must look into it.
once_more() { # once_more COMMAND...
    local first="$logs/$name.first.log" names=() again
    cp "$log" "$first"
    mapfile -t names < <(sed -n '/^failures:$/,/^test result:/s/^    \([a-z0-9_:]*\)$/\1/p' "$first" | sort -u)
    if [ "$counter" = libtest ] && [ ${#names[@]} = "$f" ]; then
        ONLY="${names[*]}" run_into "$log" "$@"
        again=$(counted "$counter" "$log" | cut -d ' ' -f 2)
        p=$((p + f - again))
    else
        names=("$name")
        run_into "$log" "$@"
        read -r p again s < <(counted "$counter" "$log")
    fi
    if [ "$again" -lt "$f" ]; then
        flaky=$((flaky + f - again))
        echo
        echo "flaky: ${names[*]} (failed, then passed; the failure is in $first)"
        show_failure "$first"
        printf '%-10s' "$name"
    fi
    f=$again
}

show_failure() { # what went wrong, without the tests that went well
    if grep -q '^failures:$' "$1"; then
        sed -n '/^failures:$/,$p' "$1" | head -n 200
    else
        grep -vE '^(test .* \.\.\. ok|ok [0-9]|    ok )' "$1" | tail -n 80
    fi
}
