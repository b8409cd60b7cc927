# shellcheck shell=bash
# Sourced by the scripts beside it: steps with their time, packages, the Docker daemon.

say() { printf '%s\n' "$*" >&2; }
fail() { say "$(basename "$0"): $*"; exit 1; }

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }'; }

# step WORDS COMMAND...: runs it quietly in a subshell and says how long it took; on failure shows
# the end of its output. On a terminal the seconds run along.
step() {
    local words=$1 begun=$EPOCHREALTIME log ticker='' code=0
    shift
    log=$(mktemp)
    if [ -t 2 ]; then
        printf '  %-54s\r' "$words" >&2
        (while sleep 1; do printf '  %-54s %s \r' "$words" "$(since "$begun")" >&2; done) &
        ticker=$!
    fi
    set +e
    (set -e; "$@") >"$log" 2>&1 </dev/null
    code=$?
    set -e
    [ -z "$ticker" ] || { kill "$ticker" 2>/dev/null && wait "$ticker" 2>/dev/null; } || true
    if [ "$code" = 0 ]; then
        printf '  %-54s %8s\n' "$words" "$(since "$begun")" >&2
    else
        printf '  %-54s %8s  failed:\n' "$words" "$(since "$begun")" >&2
        tail -n 60 "$log" | sed 's/^/    /' >&2
    fi
    rm -f "$log"
    return "$code"
}

# --- packages ---------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "this needs root: run it as root, or install sudo."
        sudo "$@"
    fi
}

apt_install() { # apt_install PACKAGE...: with one more try after a refreshed list
    local options=(-y --no-install-recommends -o DPkg::Lock::Timeout=300)
    command -v apt-get >/dev/null || fail "only Debian and Ubuntu are known here. Install these yourself: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@" && return 0
    as_root apt-get -o DPkg::Lock::Timeout=300 update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install "${options[@]}" "$@"
}

# missing PROGRAM=PACKAGE...: prints the packages of the programs that are not here
missing() {
    local pair
    for pair in "$@"; do
        PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" >/dev/null || printf '%s\n' "${pair#*=}"
    done
}

# node_modules FOLDER: what its package-lock.json names, kept in $SIESTA_CACHE, as FOLDER/node_modules
node_modules() {
    local folder=$1 kept
    kept="${SIESTA_CACHE:-${HOME:-/root}/.cache/siesta}/npm/$(basename "$folder")-$(sha256sum "$folder/package-lock.json" | cut -c1-12)"
    if [ ! -d "$kept/node_modules" ]; then
        rm -rf "$kept.part"
        mkdir -p "$kept.part"
        cp "$folder/package.json" "$folder/package-lock.json" "$kept.part/"
        npm ci --prefix "$kept.part" --ignore-scripts --no-audit --no-fund
        rm -rf "$kept"
        mv "$kept.part" "$kept"
    fi
    ln -sfn "$kept/node_modules" "$folder/node_modules"
}

# --- Docker -----------------------------------------------------------------------------------

docker_answers() { command -v docker >/dev/null && docker version >/dev/null 2>&1; }

run_dockerd() { # run_dockerd LOG [PIDFILE]: without systemd, in the background, in a session of its own
    local log=$1 pid
    setsid dockerd >>"$log" 2>&1 </dev/null &
    pid=$!
    [ -z "${2:-}" ] || echo "$pid" >"$2"
    for _ in $(seq 120); do
        docker_answers && return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.5
    done
    say "dockerd did not come up. The end of $log:"
    tail -n 20 "$log" >&2
    return 1
}

start_docker() { # start_docker [PIDFILE]: the file is written when a daemon had to be started here
    docker_answers && return 0
    if [ -d /run/systemd/system ]; then
        as_root systemctl enable --now docker
        as_root docker version >/dev/null
    else
        [ "$(id -u)" = 0 ] || fail "no Docker daemon runs and there is no systemd: start dockerd, or run this as root."
        run_dockerd /var/log/siesta-dockerd.log "$@"
    fi
}
