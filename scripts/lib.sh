# Shared by scripts/demo and scripts/test: get what is missing, once. Sourced, not run.
# Everything that is installed is named before it is; nothing is when all is there.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv

die() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

step() {
    printf '== %s\n' "$*" >&2
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

# A Python that is new enough, or nothing.
find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$name"
            return
        fi
    done
}

# need_packages COMMAND=PACKAGE...: install the packages whose command is not there, and with them
# what a virtual environment needs.
need_packages() {
    local pair python missing=()
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    python=$(find_python)
    if [ -z "$python" ]; then
        missing+=(python3 python3-venv)
    elif [ ! -x "$venv/bin/python" ] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing+=("$python-venv")
    fi
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ ! -e /etc/debian_version ] ||
        missing+=(ca-certificates)
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "missing: ${missing[*]}" "install them; this script knows only apt-get"
    step "installing with apt-get: ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0)
    as_root "${apt[@]}" update || step "apt-get update failed; trying with the lists that are here"
    as_root "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get could not install: ${missing[*]}"
}

# need_venv EXTRA [LARGER]: .venv with edgeuk and its extra EXTRA, as pyproject.toml asks now; an
# environment that has the extra LARGER will do.
need_venv() {
    local extra wanted python
    wanted="$root $(sha256sum <"$root/pyproject.toml")"
    for extra in "$@"; do
        [ "$(cat "$venv/.edgeuk-$extra" 2>/dev/null)" != "$wanted" ] ||
            ! "$venv/bin/python" -c 'import edgeuk' 2>/dev/null || return 0
    done
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        [ -n "$python" ] || die "Python 3.11 or newer is needed" "Debian 12 and Ubuntu 24.04 have it"
        step "creating .venv"
        "$python" -m venv --clear "$venv" || die "no virtual environment could be made in $venv"
    fi
    step "installing Python packages into .venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --root-user-action=ignore --editable "$root[$1]" ||
        die "pip could not install the Python packages" "is the package index reachable?"
    printf '%s' "$wanted" >"$venv/.edgeuk-$1"
}

# need_sources: the pinned third-party C sources, fetched once into the cache.
need_sources() {
    "$venv/bin/python" -m edgeuk.third_party where >/dev/null 2>&1 && return
    step "fetching third-party C sources"
    "$venv/bin/python" -m edgeuk.third_party fetch >&2
}

# need_emulator: a QEMU with the machines that the system's lacks, beside it in the cache.
need_emulator() {
    "$venv/bin/python" -m edgeuk.run.emulator fetch >&2 ||
        step "the tests of boards that need a newer QEMU will be skipped"
}
