# SPDX-License-Identifier: Apache-2.0
# Source this (`. tools/env.sh`, from the checkout's root) to have the pinned Node, kubectl, ctr, helm, … first in PATH.
TERWAY_BIN=$(node_modules/.bin/node tools/bin.ts) || return 1
export TERWAY_BIN PATH="$TERWAY_BIN:$PWD/node_modules/.bin:$PATH"
