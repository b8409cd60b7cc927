# The bin and the pages of the host.

# The bin.
bin = Bin
bin-lead = Destroyed apps stay here for seven days. Only you see them.
bin-empty = The bin is empty
bin-empty-text = An app that you delete lies here for seven days before it is gone for good.
bin-going = Being put away
bin-until = It is removed for good on { $date }.
bin-addons = { $n ->
    [one] One add-on comes back with it.
   *[other] { $n } add-ons come back with it.
}
bin-name = Bring it back as
bin-name-taken = Another app has this name now. Choose another one.
bin-restore = Restore
bin-not-settled = The app is still being put away. Try again in a moment.
bin-purge = Delete for good
bin-purge-text = Removes its releases, config vars and files now. There is no way back. Its add-ons stay in their own bin until their seven days are over.
flash-restored = { $value } is back.
flash-purged = { $value } is gone for good.
apps-binned = { $n ->
    [one] One app in the bin
   *[other] { $n } apps in the bin
}
did-restore = Brought back from the bin

# The host.
host = Host
host-accounts = Accounts
host-plans = Plans
host-audit = Audit log
host-capacity = Room for more
host-room = { $n ->
    [one] About one more dyno fits.
   *[other] About { $n } more dynos fit.
}
host-full = This server has no room for one more awake app
room-promised = { $promised } of { $most } MB are promised to dynos that run. Another app starts when one of them sleeps.
room-memory = { $available } MB of memory are available, { $reserve } MB stay reserved. Try again later.
room-disk = The disk of this server is nearly full: { $free } MB are free, { $floor } MB stay reserved. Its administrator must make room.
room-threads = This server runs { $threads } threads of at most { $most }: no dyno fits. Try again later.
full-next = The next app falls asleep in { $time } if nobody visits it.
full-next-own = { $app } falls asleep next, in { $time }, if nobody visits it.
host-unreadable = The machine's figures cannot be read.
host-promised = Memory promised
host-promised-text = To dynos that run. Most use a small part of it.
host-used = Memory in use
host-available = By dynos. { $memory } are available on the machine.
host-running = run now
host-of = { $part } of { $whole }
host-busiest = Apps that use most
host-no-apps = No apps yet.
host-requests = Requests, 2 h
host-disk = Disk
host-disk-free = { $free } free
host-kind = Kind
host-becomes = What becomes of it
host-size = Size
disk-state = State
disk-state-note = Apps, accounts, releases: one database.
disk-logs = Log lines
disk-logs-note = Old lines go by themselves.
disk-code = Code and libraries
disk-code-note = Of the last five releases of each app; older ones go with the next deploy.
disk-builds = Builds
disk-builds-note = Their output; uploads go after an hour.
disk-git = Git repositories
disk-git-note = Of apps that are pushed to; they go with their app.
disk-databases = Databases
disk-databases-note = Those of destroyed add-ons are dropped after seven days.
disk-backups = Backups
disk-backups-note = Kept as their plan says.
disk-stack = Stack
disk-stack-note = Copies of the images that everything stands on.
disk-other = Other
host-images = { $n ->
    [one] One image.
   *[other] { $n } images; those in use stay.
}
host-orphans = Files that no release names: { $size }.
host-binned = { $n ->
    [one] One app in the bin is removed when its seven days are over.
   *[other] { $n } apps in the bin are removed when their seven days are over.
}
host-clean = Clean up
host-clean-text = Images are made again from files when an app wakes, which takes it some seconds longer once.
flash-cleaned = Removed images and files: { $value }
host-queue = Build queue
host-slots = { $n ->
    [one] one at a time
   *[other] { $n } at a time
}
host-queue-empty = No build waits or runs.
host-engine = Container engine
host-answers = Answers
host-silent = Does not answer
host-engine-down = The container engine does not answer
host-engine-down-text = Dashboard and config vars work on; deploys and wakes do not. Look at `systemctl status docker` on the machine.
host-version = Siesta
host-dashboard = Dashboard
host-domain = Domain of the apps
host-cert = Certificate
host-cert-own = Yours (SIESTA_TLS_CERT)
host-cert-local = Of the local authority
host-data = Data folder
host-limits = Limits
host-limits-text = Limits with a name in capitals are settings of the server; a plan says the others.
limit-app-memory = Memory for all dynos
limit-by-machine = by the machine
limit-reserve = Memory that stays free
limit-disk = Disk space that stays free
limit-slots = Builds at once
limit-standbys = Sleeping apps with a dyno standing by
limit-postgres = Memory of the database server
limit-dyno-disk = Disk of a dyno
limit-upload = Size of an upload
limit-waiting = Requests of an app that wait
limit-api = API calls of an account in an hour
limit-one-offs = One-off dynos of an account / in all

# Accounts and plans.
plan = Plan
host-since = Since
host-actions = Actions
host-admin = Administrator
host-suspended = Suspended
host-plan-of = Plan of { $email }
host-reset = New password link
host-reset-of = Make a link that sets a new password for { $email }
host-reset-once = A link for { $email }
host-reset-once-text = It sets a new password, is good for one hour and is shown this once.
host-suspend = Suspend
host-let-in = Let in again
host-not-yourself = You cannot suspend yourself.
flash-suspended = { $value } is suspended; its sessions have ended.
flash-let-in = { $value } may log in again.
host-plans-text = An app's own plan counts over its account's.
plan-quota = Quota
plan-daily = { $awake } awake in any { $window }
plan-monthly = { $pool } of the account in a month
plan-no-quota = No quota
plan-quota-daily = Daily, for each app
plan-quota-monthly = Monthly, for each account
plan-new = New plan
plan-new-hint = It begins with the limits of free.
plan-there = There is a plan of that name already.
plan-give = Give an app a plan of its own
plan-give-hint = Accounts get theirs on the page of accounts.
plan-of-account = as its account
flash-plan-given = The plan of { $value } is changed.
flash-plan-deleted = The plan { $value } is deleted.
plan-at-once = Counts for running apps at once.
plan-sleep = When idle
plan-sleep-stop = its dynos stop
plan-sleep-nap = it naps and runs on
plan-sleep-never = it stays awake
plan-memory = Memory of a dyno, MB
plan-dynos = Dynos of a process type
plan-types = Process types at once
plan-idle = Idle after, minutes
plan-nap = Nap after, seconds
plan-nap-hint = 0: never.
plan-awake = Awake time, hours
plan-awake-hint = Of a daily quota.
plan-window = Window, hours
plan-rest = Rest, hours
plan-rest-hint = At least the window minus the awake time.
plan-pool = Monthly pool, hours
plan-pool-hint = Of a monthly quota.
plan-rows = Rows of a database
plan-apps = Apps of an account
plan-build = Time of a build, minutes
plan-build-memory = Memory of a build, MB
plan-no-number = Write a number.
plan-delete = Delete plan
plan-delete-text = Only a plan that nobody has can be deleted.
plan-unknown = There is no plan called { $name }.
plan-no-app = There is no app of that name.
plan-no-account = There is no account with that address.
plan-free-stays = The plan free cannot be deleted: it is what everybody has who was not given another.
plan-in-use = Apps that have it: { $apps }, accounts: { $accounts }. Give them another one first.
plan-bad-name = A plan's name is 1 to 30 lower-case letters, digits and dashes, and begins with a letter.
plan-range = { $what }: between { $least } and { $most }.
plan-short-rest = The rest must be at least the window minus the awake time: with less, old hours would still count when it ends.
plan-awake-over = The awake time cannot be longer than its window. For a plan without a quota choose “No quota”.

# A fault of ours.
request-id = Request
try-again = Try again

# The audit log.
audit-text = Who changed what. The newest ten thousand are kept.
audit-filter = A person, an app or an action
audit-empty = Nothing was changed yet, or nothing fits.
audit-what = What
audit-on = On
audit-from = From
audit-operator = operator

# Backups on the page of the host.
host-backup-newest = the newest of each database
host-backup-of = Database
host-backup-none = None yet
host-backup-good = The last good one is { $name }, { $time }.
host-backup-no-good = There is no good one.
host-backup-no-databases = There are no databases yet.
host-backup-whole = The whole server was last backed up
host-backup-whole-never = The whole server was never backed up with
