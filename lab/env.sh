# shellcheck shell=bash
# Where the lab keeps what it made, for the scripts that use it: `. lab/env.sh`.

: "${TANDEM_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/tandem}"
export TANDEM_CACHE

# The headers of the Asterisk that modules are built for; bindgen reads them.
export ASTERISK_INCLUDE_DIR="$TANDEM_CACHE/include"
export PATH="$TANDEM_CACHE/tools/bin:$PATH"
