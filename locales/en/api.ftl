api-reference = API reference
reference-text = Heroku's Platform API as this server speaks it. HEROKU_API_KEY is an API key of your account, APP the name of an app. For programs:
