# Fails when the config var RELEASE_EXIT says so.
echo "releasing as $DYNO"
exit "${RELEASE_EXIT:-0}"
