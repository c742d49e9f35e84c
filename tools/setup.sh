#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From nothing but Debian, make and git to a checkout that works. Idempotent; adds what is missing, never removes or replaces.
#   tools/setup.sh --base   compilers, Node 26 and the npm packages: enough for types, unit tests and `make build`
#   tools/setup.sh          also Kubernetes, containerd and helm for the lab (tools/setup/main.ts)
#   PACKAGES=list.txt       also the Debian packages of another list
# Bash only as far as the first Node; PATH gets what Debian keeps for root, so that `command -v` finds it for everybody.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PATH:/usr/sbin:/sbin DEBIAN_FRONTEND=noninteractive NODE_USE_ENV_PROXY=1
cache=${TERWAY_CACHE:-$HOME/.cache/terway-ts}
log=$cache/setup.log

# step WHAT COMMAND...: runs it with its output in the log, says how long it took, and shows the log's end when it fails.
step() {
  local what=$1 started=$SECONDS pid
  shift
  mkdir -p "$cache"
  echo "setup: $what"
  "$@" >>"$log" 2>&1 &
  pid=$!
  (while sleep 15; do echo "setup: ... still at it after $((SECONDS - started)) s"; done) & local ticker=$!
  if wait $pid; then
    { kill $ticker && wait $ticker; } 2>/dev/null || true
    echo "setup: done in $((SECONDS - started)) s"
  else
    kill $ticker
    tail -n 30 "$log" >&2
    echo "setup: failed: $* (the whole log: $log)" >&2
    exit 1
  fi
}

present() { # a program by name, or a file by path, which may be a pattern
  case $1 in
  /*) compgen -G "$1" >/dev/null ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

install_packages() {
  local missing=() package proof rest
  while read -r package proof rest; do
    case $package in '#'* | '') continue ;; esac
    present "$proof" || missing+=("$package")
  done < <(cat tools/packages.txt ${PACKAGES:-})
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: not there: ${missing[*]}. Only root on Debian can have them installed; what needs them will fail." >&2
    return 0
  fi
  step 'read the package lists' apt-get update -q
  step "install ${missing[*]}" apt-get install -q -y --no-install-recommends --no-remove "${missing[@]}"
}

install_npm() {
  local stamp=node_modules/.lock-stamp sum
  sum=$(sha256sum package-lock.json)
  [ -f $stamp ] && [ "$(cat $stamp)" = "$sum" ] && [ -x node_modules/.bin/node ] && return 0
  # Whoever has run `npm install` has everything already; `npm ci` would take node_modules away from running processes.
  if ! node_modules/.bin/node tools/setup/lock-current.ts 2>/dev/null; then
    step 'install the npm packages' npm ci --ignore-scripts --no-audit --no-fund
    # Two packages, one per architecture, provide the program `node`: npm 9 then links neither.
    [ -x node_modules/.bin/node ] || ln -s ../"$(cd node_modules && echo node-linux-*)"/bin/node node_modules/.bin/node
  fi
  echo "$sum" >$stamp
}

mkdir -p build
exec 9>build/.setup-lock
flock 9
install_packages
install_npm
exec 9>&-
[ "${1:-}" = --base ] || exec node_modules/.bin/node tools/setup/main.ts
