#!/usr/bin/env bash
# What script/stages.sh makes of runners that pass, fail once, fail twice and die.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
twice=(docker browser)
# shellcheck source=script/steps.sh
. "$root/script/steps.sh"
# shellcheck source=script/stages.sh
. "$root/script/stages.sh"

libtest_run() { # libtest_run PASSED FAILED
    [ "$2" = 0 ] || printf 'failures:\n\n---- docker::a stdout ----\n\nfailures:\n    docker::a\n\n'
    printf 'test result: x. %s passed; %s failed; 1 ignored; 0 measured\n' "$1" "$2"
    [ "$2" = 0 ]
}
node_run() { printf '# pass %s\n# fail %s\n# skipped 0\n' "$1" "$2"; [ "$2" = 0 ]; }
first() { [ ! -e "$logs/ran.$name" ] && touch "$logs/ran.$name"; }

fails_once() { if first; then libtest_run 3 1; else [ "$ONLY" = docker::a ] && libtest_run 1 0; fi; }
fails_twice() { if [ -z "${ONLY:-}" ]; then libtest_run 3 1; else libtest_run 0 1; fi; }
browser_fails_once() { if first; then node_run 5 1; else node_run 6 0; fi; }
browser_fails_twice() { node_run 5 1; }
dies() { echo "cannot start"; return 7; }
passes() { libtest_run 8 0; }

is() { # is WHAT EXPECTED: after a stage
    local found="$passed $failed $skipped $flaky"
    [ "$found" = "$2" ] || { echo "$1: passed, failed, skipped, flaky are $found, not $2" >&2; exit 1; }
    passed=0 failed=0 skipped=0 flaky=0
    rm -f "$logs"/ran.*
}

{
    stage unit libtest passes; is "passes" "8 0 1 0"
    stage docker libtest fails_once; is "fails once" "4 0 1 1"
    stage docker libtest fails_twice; is "fails twice" "3 1 1 0"
    stage unit libtest fails_twice; is "is not run again" "3 1 1 0"
    stage browser node_test browser_fails_once; is "the browser fails once" "6 0 0 1"
    stage browser node_test browser_fails_twice; is "the browser fails twice" "5 1 0 0"
    stage lint single dies; is "dies" "0 1 0 0"
    stage docker libtest dies; is "dies twice" "0 1 0 0"
} >"$logs/said"
grep -q "^flaky: docker::a " "$logs/said" || { echo "the flaky test is not named" >&2; exit 1; }
