# Shared by scripts/demo and scripts/test: get what is missing, once. Sourced, not run.
# Everything that is installed is named before it is; nothing is when all is there.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

die() {
    printf 'error: %s\n' "$1" >&2
    [ -n "${2:-}" ] && printf '\nhint: %s\n' "$2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root: $*" "run it as root, or install sudo"
    fi
}

# need_packages COMMAND=PACKAGE...: install the packages whose command is not there.
need_packages() {
    local pair missing=()
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null ||
        die "missing: ${missing[*]}" "install them; only apt-get is known to this script"
    printf 'installing with apt-get: %s\n' "${missing[*]}" >&2
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
}

find_python() {
    local name
    for name in python3.13 python3.12 python3.11 python3; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2])' 2>/dev/null; then
            printf '%s\n' "$name"
            return
        fi
    done
}

# need_venv EXTRA: .venv with edgeuk and its extra EXTRA (demo, test), as pyproject.toml asks now.
need_venv() {
    local stamp=$venv/.edgeuk-$1 sum python
    sum=$(sha256sum "$root/pyproject.toml" | cut -d' ' -f1)
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && return
    python=$(find_python)
    if [ -z "$python" ]; then
        need_packages python3=python3
        python=$(find_python)
        [ -n "$python" ] || die "Python 3.11 or newer is needed" "Debian 12 and Ubuntu 24.04 have it"
    fi
    if [ ! -x "$venv/bin/pip" ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || need_packages no-venv=python3-venv
        printf 'creating .venv\n' >&2
        "$python" -m venv "$venv"
    fi
    printf 'installing Python packages into .venv\n' >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check -e "$root[$1]"
    printf '%s' "$sum" >"$stamp"
}

# need_sources: the pinned third-party C sources, fetched once into the cache.
need_sources() {
    "$venv/bin/python" -m edgeuk.third_party fetch
}
