# Metrics, the host page, what the Overview answers, config vars from a file, the palette.
metrics = Metrics
range = Time shown
range-2h = 2 hours
range-24h = 24 hours
range-72h = 72 hours
range-7d = 7 days
metrics-charts = Charts. The arrow keys move through time.
metrics-table = The numbers
metrics-in-table = The numbers are in the table below.
metrics-nothing = Nothing was counted here
metrics-empty = No numbers yet
metrics-empty-text = They appear after the first request, and stay for seven days.
chart-requests = Requests
crashes = Crashes
chart-times = Response time
chart-memory = Memory of the largest dyno
chart-cpu = CPU, of one core
chart-limit = a dyno has { $limit }
memory = Memory

why = Why?
why-awake = Why is it awake?
why-awake-visitor = A visitor came.
why-awake-request = A visitor came: { $who }.
why-awake-hand = Somebody woke it by hand.
why-awake-release = A new release started it.
why-awake-rested = Its rest was over.
why-awake-until = It falls asleep in { $time } if nobody else comes.
why-asleep = Why is it asleep?
why-asleep-idle = No visitor came for as long as its plan lets it wait.
why-asleep-since = No visitor came for as long as its plan lets it wait. The last one: { $who }.
why-asleep-hand = It was put to sleep by hand.
why-resting = Why is it resting?
why-resting-text = It has used the awake time of its plan. It may wake again in { $time }.
why-crashed = Why did it crash?
why-off = Why is it off?
why-off-text = No process type has a dyno. Raise a count under Dynos.
why-off-by = { $who } scaled its process types to 0. Raise a count under Dynos.
why-not-deployed = Why is it not deployed?
why-no-code = No code was sent to it yet.
why-build-failed = The build of { $label } failed. { $error }
why-build-cancelled = The build of { $label } was cancelled.
why-build-queued = The build of { $label } waits for its turn.

env-label = Several at once, from a .env file
env-hint = Lines like KEY=value. What would change is shown before it is saved.
env-look = See the changes
env-replace = Remove the config vars that are not in it
env-title = Config vars from a file
env-lead = Saving makes one new release and restarts the dynos.
env-nothing = Nothing would change: every config var has this value already.
env-added = New
env-changed = Changed
env-removed = Removed
env-same = As it is
env-save = Save and restart
env-line = Line { $line }: { $why }
env-not-a-pair = write KEY=value.
env-open-quote = a quote is opened here and never closed.
flash-env-saved = Config vars changed: { $value }.

jump = Jump to
jump-hint = An app or a page

quota-title = Plans and quota
quota-lead = What your plans allow, and how long your apps were awake.
quota-of-account = of your account
quota-of-apps = of { $apps }
quota-memory = Memory of a dyno
quota-idle = Asleep without visitors after
quota-use = Your use
quota-total = { $time } in all
quota-empty = You have no apps yet.
quota-rests-in = Rests in { $time } if it stays awake
