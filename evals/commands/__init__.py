"""The subcommands of `pir eval`: a module each, whose command has the module's name. Imported only when run."""

COMMANDS = {
    "run": "Play tasks against a model and a simulated user.",
    "tasks": "List the tasks and groups, with their options.",
    "lm-eval": "lm-eval's own command line, with our model and tasks.",
    "compare": "Compare two runs: paired tests, with corrections.",
    "table": "Print several runs, or the parts of one, as a table.",
    "report": "Write a run's report: Markdown, CSV, JSON, plots.",
    "view": "Read the conversations of runs in the browser.",
    "agreement": "Compare a judge with people's labels.",
    "uncertainty": "Tell whether uncertainty shows a missing premise.",
    "simcheck": "Check a user simulator: leaks, faithfulness, and more.",
    "data": "List, fetch and verify data sets.",
}
