api-reference = API reference
reference-text = Heroku's Platform API as this server speaks it. HEROKU_API_KEY is an API key of your account, APP the name of an app. For programs:
reference-absent = Not offered here
reference-absent-text = Calls of Heroku’s API that this server answers with 404 and the sentence below. * is any method, + any further part.
