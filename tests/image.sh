#!/usr/bin/env bash
# Builds the image of the Dockerfile with the debug program, starts Siesta in it against the host's
# Docker and deploys an app through it. Prints "ok ..." or "not ok ..." lines; script/test counts them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
: "${CARGO_TARGET_DIR:?}" "${SIESTA_STACK_RUN:?}" "${SIESTA_STACK_BUILD:?}"
name="siesta-image-test-$$"
work=$(mktemp -d)
code=0

check() { # check WORDS COMMAND...
    if "${@:2}" >"$work/output" 2>&1; then
        echo "ok $1"
    else
        echo "not ok $1"
        sed 's/^/    /' "$work/output"
        code=1
    fi
}

clean_up() {
    local instance
    docker logs "$name" >"$work/log" 2>&1 || true
    [ "$code" = 0 ] || sed 's/^/    log: /' "$work/log"
    docker rm -f "$name" >/dev/null 2>&1 || true
    instance=$(cat "$work/data/instance" 2>/dev/null || true)
    if [ -n "$instance" ]; then
        docker ps -aq --filter "label=siesta.instance=$instance" | xargs -r docker rm -f >/dev/null 2>&1 || true
        docker network ls -q --filter "label=siesta.instance=$instance" | xargs -r docker network rm >/dev/null 2>&1 || true
        docker volume ls -q --filter "label=siesta.instance=$instance" | xargs -r docker volume rm >/dev/null 2>&1 || true
        docker images -q --filter "label=siesta.instance=$instance" | sort -u | xargs -r docker rmi -f >/dev/null 2>&1 || true
    fi
    docker rmi -f "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT

# BuildKit: the distribution's client brings it, newer ones with their buildx part.
build_image() {
    local client
    for client in docker /usr/bin/docker; do
        if DOCKER_BUILDKIT=1 "$client" build -q -t "$name" --build-arg BINARY=prebuilt --build-arg "BASE=$SIESTA_STACK_RUN" "$work/context"; then return 0; fi
    done
    return 1
}

within() { # within SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$work/context/target/release" "$work/data"
cp "$root/Dockerfile" "$work/context/"
# The one the other tests have built, not one of its own.
cargo test --locked --test it --no-run --manifest-path "$root/Cargo.toml" 2>/dev/null
cp "$CARGO_TARGET_DIR/debug/siesta" "$work/context/target/release/siesta"

run_image() {
    local options=()
    [ -z "${SIESTA_BUILD_CA:-}" ] || options=(-e SIESTA_BUILD_CA -v "$SIESTA_BUILD_CA:$SIESTA_BUILD_CA:ro")
    docker run -d --name "$name" --network host \
        -v /var/run/docker.sock:/var/run/docker.sock -v "$work/data:$work/data" -v "$root/examples:/examples:ro" \
        -e "SIESTA_DATA_DIR=$work/data" -e "SIESTA_LISTEN=127.0.0.1:$port" -e SIESTA_LISTEN_TLS=127.0.0.1:0 \
        -e SIESTA_NETWORK_RANGE=10.250.0.0/16 -e SIESTA_STACK_RUN -e SIESTA_STACK_BUILD "${options[@]}" "$name"
}

get() { curl -sSf --max-time 60 -H "Host: $1" "http://127.0.0.1:$port/"; }
says() { get "$1" | grep -q "$2"; }
gone() { [ "$(docker inspect -f '{{ .State.Running }} {{ .State.ExitCode }}' "$name")" = "false 0" ]; }

check "the Dockerfile builds" build_image
check "the image starts a server" run_image
check "the server in the image answers" within 30 docker exec "$name" siesta status
check "an app is deployed through it" docker exec "$name" siesta deploy --app imagen /examples/flask-uv
check "the app answers at its own host name" says imagen.localhost visit
docker stop -t 40 "$name" >/dev/null
check "it stops by itself at SIGTERM" gone
exit "$code"
