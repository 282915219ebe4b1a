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

# absent COMMAND=PACKAGE...: the packages whose command is not there.
absent() {
    local pair
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin command -v "${pair%%=*}" >/dev/null || [ -f "${pair%%=*}" ] ||
            printf '%s\n' "${pair#*=}"
    done
}

# apt_install PACKAGE...: with apt-get, whatever its lists are.
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq \
        -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 \
        install --yes --no-install-recommends "$@" >/dev/null
}

update_lists() {
    as_root apt-get -qq -o DPkg::Lock::Timeout=120 update ||
        step "apt-get update failed; trying with the lists that are here"
}

# need_packages COMMAND=PACKAGE...: install the packages whose command is not there, and with them
# what a virtual environment needs.
need_packages() {
    local python missing
    mapfile -t missing < <(absent "$@")
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
    update_lists
    apt_install "${missing[@]}" || die "apt-get could not install: ${missing[*]}"
}

# want_packages COMMAND=PACKAGE...: the same for what only a few tests need; those are skipped where
# it is not to be had.
want_packages() {
    local package missing
    mapfile -t missing < <(absent "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if command -v apt-get >/dev/null; then
        step "installing with apt-get: ${missing[*]}"
        update_lists
        apt_install "${missing[@]}" || for package in "${missing[@]}"; do
            apt_install "$package" || true
        done
    fi
    mapfile -t missing < <(absent "$@")
    [ ${#missing[@]} = 0 ] || step "not to be had, their tests are skipped: ${missing[*]}"
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
