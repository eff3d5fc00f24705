#!/usr/bin/env bash
# Install missing system packages, or print the command that installs them if we may not.
#
#     system_packages.sh [PYTHON]
#
# It never fails, because each package serves one part only: LaTeX the PDF, EGL the OpenGL backend,
# and a C++ compiler scikit-fmm, which the Makefile leaves out without it.
set -u
python=${1:-python3}

python_runs() { "$python" -c "$1" >/dev/null 2>&1; }
command_exists() { command -v "$1" >/dev/null; }
tex_finds() { [ -n "$(kpsewhich "$1" 2>/dev/null)" ]; }

name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])' 2>/dev/null) || name=python3
missing=()
python_runs 'import ensurepip, venv' || missing+=("$name-venv")
python_runs 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' ||
    missing+=("$name-dev")
command_exists c++ || missing+=(g++)
command_exists latexmk || missing+=(latexmk)
tex_finds microtype.sty || missing+=(texlive-latex-recommended)
tex_finds ptmr8t.tfm || missing+=(texlive-fonts-recommended)
if [ "$(uname)" = Linux ]; then
    python_runs 'import ctypes; ctypes.CDLL("libEGL.so.1")' || missing+=(libegl1)
    compgen -G '/usr/lib*/dri/*_dri.so' >/dev/null || compgen -G '/usr/lib/*/dri/*_dri.so' >/dev/null ||
        missing+=(libgl1-mesa-dri)
fi
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
apt() { # without questions; if another apt runs, wait for it
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

if command_exists apt-get && "${as_root[@]}" true 2>/dev/null; then
    echo "Installing system packages: ${missing[*]}"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    apt update >"$log" 2>&1
    apt install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1 && exit 0
    tail -n 5 "$log"
fi
echo "System packages are missing. On Debian or Ubuntu, this command installs them:"
echo "    sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
exit 0
