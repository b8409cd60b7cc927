export FROM_PROFILE="profile saw $DYNO"
