using System.CommandLine;

using Spectre.Console;

var root = new RootCommand("Nanograd: train, run and inspect models.");
root.SetAction(_ => AnsiConsole.MarkupLine("[bold]nanograd[/] --help lists the commands."));
return root.Parse(args).Invoke();
