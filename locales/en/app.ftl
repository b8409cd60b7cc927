# The pages of one app.
scale-unknown = This process type is not in the app's Procfile.
scale-limit = { $n ->
    [one] A { $size } app runs at most one dyno of a process type.
   *[other] A { $size } app runs at most { $n } dynos of a process type.
}
scale-types = { $n ->
    [one] A { $size } app runs one process type at once. Scale another one to 0 first.
   *[other] A { $size } app runs at most { $n } process types at once. Scale another one to 0 first.
}
var-malformed = “{ $key }” is not a config var name. Use letters, digits and _, not starting with a digit, at most 128 characters.
var-reserved = { $key } is set by the platform and can't be changed.
var-nul = The value of { $key } holds a NUL character, which no environment variable can carry.
var-large = The value of { $key } is larger than 32 KiB.
var-total = Config vars are limited to 64 KiB for an app, names and values together.
