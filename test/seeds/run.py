"""Runs a function of a published snippet against a Postern: run.py SNIPPET FUNCTION JSON-ARGUMENTS

The snippet's text is taken as it is, but for the base URL. The key is in MM_API_KEY, as it expects.
"""
import json
import os
import sys

snippet, function, arguments = sys.argv[1:]
with open(snippet, encoding="utf-8") as file:
    text = file.read()
names = {}
exec(compile(text.replace("https://api.multimail.dev", os.environ["POSTERN_URL"]), snippet, "exec"), names)
print(json.dumps(names[function](**json.loads(arguments))))
