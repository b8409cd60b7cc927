# What an account logs in with
logging-in = Logging in
password-row = Every other session ends when it changes.
change = Change
change-password = Change password
change-password-lead = Every other session of your account ends; API tokens stay good.
current-password = Current password
password-not-yours = That is not your current password.
flash-password-changed = The password is changed; every other session has ended.
second-factor = Second factor
second-factor-row = A code of your telephone at every login.
second-factor-lead = With it a password alone does not let anybody in: a six-digit code of a program on your telephone is asked for as well.
second-factor-scan = Scan this with an authenticator program (Aegis, Google Authenticator, 1Password …).
second-factor-picture = QR code with the secret below
second-factor-type = Or type this secret there:
second-factor-first = The six digits that the program shows now.
second-factor-on = The second factor is on
second-factor-is-on = It is on.
second-factor-there = This account has a second factor already.
flash-second-factor-off = The second factor is off.
recovery-text = Keep these recovery codes where you keep important papers. Each lets you in once without the telephone. They are shown only now.
recovery-kept = I have kept them
recovery-left = { $n ->
    [one] One recovery code is left.
   *[other] { $n } recovery codes are left.
}
turn-on = Turn on
turn-off = Turn off
code = Code
code-title = One more step
code-lead = Type the code that your telephone shows now.
code-hint = Six digits, or one of your recovery codes.
code-wrong = That code is not right, or it was used before. Wait for the next one.
login-code-late = That took too long. Log in again.

terminal-title = A terminal asks to be let in
terminal-lead = It would get an API key of { $email }, good for 30 days, and could do all that you can.
terminal-says = What it says of itself
terminal-from = Where it asks from
terminal-warning = Say yes only if you have just typed “heroku login” yourself, in that terminal. Somebody who sent you this address wants your account.
terminal-yes = Yes, that is me
terminal-no = No
terminal-let-in = The terminal is in
terminal-sent-away = The terminal was sent away
terminal-close = You can close this page. Keys are listed, and revoked, on your account's page.
terminal-nobody = No terminal waits here any more
terminal-again = The login was answered already, or ten minutes have passed. Type “heroku login” again.
