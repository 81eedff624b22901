#!/usr/bin/env bash
# Installs what the tests with -tags sdks need beside Go and Node: the SDKs, and the library that verifies webhooks, as
# package-lock.json has them, and Chromium.
set -euo pipefail
cd "$(dirname "$0")"

# package.json overrides one package: newer ones of it have builds for other platforms that not every registry serves, and
# RudderStack's SDK uses it for its persistent queue only.
npm ci --ignore-scripts --no-audit --no-fund

if ! command -v chromium >/dev/null; then
  apt-get update -qq && apt-get install -y -qq chromium
fi
