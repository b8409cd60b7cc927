# The shell, the front pages, the apps list.
skip = Skip to content
breadcrumb = Breadcrumb
account-menu = Account menu
apps = Apps
account = Account
log-in = Log in
log-out = Log out
language = Language
theme = Theme
theme-light = Light
theme-dark = Dark
theme-system = System
copy = Copy
cancel = Cancel
just-now = just now
ago = { $time } ago
to-apps = Back to your apps

email = E-mail
password = Password
new-password = New password
password-hint = At least 8 characters; a sentence of 15 or more is better.
password-short = The password is too short: use at least 8 characters, better 15.
password-long = The password is longer than 128 characters.
password-common = That password is among the most used ones and easy to guess. Choose another.

claim-title = Create the administrator
claim-lead = This server has no administrator yet. Whoever holds the claim token becomes it.
claim-token = Claim token
claim-token-hint = Printed in the terminal where the server was started.
claim-do = Claim this server
claim-bad = That claim token is not right. It is printed where the server was started; a restart prints a fresh one.
claim-done-already = This server has been claimed already. Log in instead.
flash-claimed = This server is yours. Welcome.
sign-up-question = Who may sign up?
sign-up-open = Anybody
sign-up-open-hint = Whoever reaches this address can make an account.
sign-up-invite = By invitation
sign-up-invite-hint = You hand out links, each good for one account.
sign-up-closed = Nobody
sign-up-closed-hint = Accounts are made by you alone.

login-wrong = There was a problem with your login.
login-later = { $n ->
    [one] Too many attempts. Try again in one second.
   *[other] Too many attempts. Try again in { $n } seconds.
}
forgot-hint = Forgot the password? The administrator of this server can send you a link that sets a new one.
new-here = New here?
sign-up = Sign up
sign-up-lead = An account is all you need to put an app on the web.
sign-up-is-closed = Sign-up is closed on this server. Ask its administrator for an account.
sign-up-needs-invite = This server takes new accounts by invitation only. Ask its administrator for a link.
have-account = Have an account?
email-taken = An account with that e-mail address exists already.
email-bad = That is not an e-mail address. Write it like ana@example.org.
link-bad = That link is not valid any more. Ask for a new one.
account-suspended = This account is suspended.
flash-logged-out = You are logged out.
reset-title = Set a new password
reset-lead = All sessions of your account end; you log in again with the new password.
reset-do = Set password
flash-password-set = The new password is set. Log in with it.

oops-404 = Not found
oops-404-text = There is nothing at this address, or it is not yours to see.
oops-403 = Not allowed
oops-405 = That does not work here
oops-405-text = This address does not take what was sent to it.
oops-500 = Something went wrong
oops-500-text = The fault is on our side and has been written down. Try again; if it stays, tell the administrator of this server.
oops-other = That did not work

state-blank = No code yet
state-awake = Awake
state-napping = Napping
state-asleep = Asleep
state-waking = Waking
state-building = Building
state-crashed = Crashed
state-off = Off
state-resting = Resting
strip-label = Awake { $awake }, asleep { $asleep } in the last { $whole }

new-app = New app
apps-empty = Your first app in three steps
first-1 = Create an app
first-1-text = Its name becomes its address.
first-2 = Send your code
first-2-text = Upload the folder of a Python app as an archive: a Procfile says what to start, requirements.txt what to install.
first-3 = Open it
first-3-text = The app answers at its own address. Without visitors it falls asleep, and wakes with the next one.
new-title = Create a new app
app-name = App name
suggest = Suggest a name
create-app = Create app
name-rule = 3 to 30 lowercase letters, digits and dashes. Leave it empty and one is made up.
name-free = This name is available.
name-address = Your app will answer at
name-short = The name is too short: use at least 3 characters.
name-long = The name is too long: use at most 30 characters.
name-malformed = Use lowercase letters, digits and dashes; start with a letter and end with a letter or digit.
name-reserved = This name is reserved for the platform. Choose another one.
name-taken = This name is not available.
apps-limit = { $n ->
    [one] Your plan has room for one app. Delete it to make room.
   *[other] Your plan has room for { $n } apps. Delete one to make room.
}
flash-created = { $value } is there. Now give it code.
apps-filter = A part of a name
apps-none = No app's name contains “{ $part }”
apps-all = Show all
sort = Order
sort-name = By name
sort-deploy = Last deployed first
sort-awake = Longest awake first
show-password = Show what is typed
