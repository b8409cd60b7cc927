# Who may touch an app.
access = Access
collaborators = Collaborators
access-text = Who may work on this app besides its owner. “Deploy” may do everything but rename, transfer and delete the app or change this list; “View” sees builds, releases and logs, not the values of config vars.
access-add = Add a collaborator by e-mail or GitHub name
access-hint = They need an account on this server; by GitHub name, one that is connected to GitHub.
access-remove = Remove
access-leave = Leave
access-owner-only = Only the owner of an app may say who else may touch it.
role = Role
role-of = Role of { $email }
role-owner = Owner
role-deploy = Deploy
role-view = View
flash-access-given = { $value } may now work on this app.
flash-access-taken = The access to { $value } was taken away.
collaborator-unknown = Nobody on this server has the address or the GitHub name { $email }. Invite them first.
collaborator-owner = The owner of an app has every right already.
