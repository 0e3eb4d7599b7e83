#!/bin/sh
# Builds BUILD_IMAGE from BUILD_FILES (one a line) of BUILD_DIRECTORY with Cloud Build, unless it is there already.
# Called by terraform; everything comes in by environment variables named BUILD_*.
set -eu

fail() {
    echo "confab image: $1" >&2
    exit 1
}

command -v gcloud >/dev/null 2>&1 ||
    fail "gcloud is not on the PATH. Install the Google Cloud CLI and run 'gcloud auth login', or set the variable image to an image that exists."

# An apply that was interrupted after the build must not build again.
digest=$(gcloud artifacts docker images describe "$BUILD_IMAGE" --project="$BUILD_PROJECT" --format='value(image_summary.digest)' 2>/dev/null </dev/null || true)
case "$digest" in
sha256:*)
    echo "confab image: $BUILD_IMAGE exists, nothing to build"
    exit 0
    ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Exactly the files that were hashed, so that nothing unhashed can change the image and nothing private is uploaded.
printf '%s\n' "$BUILD_FILES" >"$work/files"
tar -czf "$work/source.tgz" -C "$BUILD_DIRECTORY" -T "$work/files"

if ! gcloud builds submit "$work/source.tgz" \
    --project="$BUILD_PROJECT" \
    --region="$BUILD_REGION" \
    --tag="$BUILD_IMAGE" \
    --service-account="$BUILD_ACCOUNT" \
    --gcs-source-staging-dir="gs://$BUILD_BUCKET/source" \
    --gcs-log-dir="gs://$BUILD_BUCKET/logs" \
    --machine-type="$BUILD_MACHINE" \
    --timeout="${BUILD_TIMEOUT}s" \
    --quiet </dev/null; then
    gcloud auth print-access-token >/dev/null 2>&1 </dev/null ||
        fail "gcloud is not signed in. Run 'gcloud auth login', then apply again."
    fail "the build of $BUILD_IMAGE failed; its log is above and in gs://$BUILD_BUCKET/logs. A permission that is named there is missing from whoever applies (terraform/README.md, 'Who may deploy'). Apply again when it is mended."
fi
