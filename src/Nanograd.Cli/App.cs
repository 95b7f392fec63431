using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using System.Text.RegularExpressions;
using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary>A mistake of the user's, to be shown as one sentence.</summary>
internal sealed class UserException(string message) : Exception(message);

/// <summary>A command with more to say about itself than fits its line in a list of commands.</summary>
internal sealed class DocumentedCommand(string name, string summary, string details) : Command(name, summary)
{
    public void ShowAll() => Description = $"{Description}\n\n{details}";
}

/// <summary>The command: parsing, and turning whatever goes wrong into one sentence and an exit code.</summary>
internal static partial class App
{
    public const int Success = 0;
    public const int Failure = 1;
    public const int WrongUsage = 2;
    public const int Unexpected = 3;
    public const int Interrupted = 130;

    private const string Description = """
        Nanograd: train, sample and inspect models, in pure managed code.

        Examples:
          nanograd train gpt                                 a GPT on built-in stories, in a minute or two
          nanograd train gpt --data shakespeare.txt          the same on a text of yours
          nanograd train gpt --resume out/gpt                go on where a run stopped, bit for bit
          nanograd generate --model out/gpt --prompt "The "  write on, in the manner of the text
          nanograd bench                                     how fast it is here
          nanograd devices                                   what this machine can do

        Environment: NANOGRAD_SIMD=128|256|512 narrows the vectors, NANOGRAD_THREADS=N limits the threads (neither
        changes a result), NO_COLOR=1 switches colours off, NANOGRAD_DEBUG=1 shows where errors come from.
        """;

    /// <summary>Runs the command line. <paramref name="stop"/> does what Ctrl-C does.</summary>
    public static int Run(string[] args, Terminal terminal, CancellationToken stop = default)
    {
        var root = new RootCommand(Description)
        {
            new Command("train", "Train a model.") { TrainCommand.Create(terminal, stop) },
            GenerateCommand.Create(terminal, stop),
            BenchCommand.Create(terminal),
            DevicesCommand.Create(terminal),
        };
        try
        {
            var result = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
            if (result.Errors.Count > 0 && result.Action is not HelpAction)
            {
                var error = result.Errors.FirstOrDefault(e => e.Message.StartsWith("Unrecognized", StringComparison.Ordinal)) ?? result.Errors[0];
                var path = string.Join(" ", result.CommandResult.Command.Name == root.Name ? [] : args.TakeWhile(a => !a.StartsWith('-')).Take(Depth(result.CommandResult)));
                terminal.Error.WriteLine($"error: {Sentence(error.Message)} Try: nanograd {(path + " --help").Trim()}");
                return WrongUsage;
            }

            if (result.Action is not HelpAction)
            {
                CheckEnvironment();
            }

            (result.CommandResult.Command as DocumentedCommand)?.ShowAll();
            return result.Invoke(new InvocationConfiguration
            {
                Output = terminal.Out,
                Error = terminal.Error,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            });
        }
        catch (Exception e)
        {
            return Explain(e, terminal);
        }
    }

    /// <summary>Reads NANOGRAD_SIMD and NANOGRAD_THREADS now: a mistake in them is found before anything is written.</summary>
    private static void CheckEnvironment()
    {
        try
        {
            _ = Engine.VectorBits + Engine.Threads;
        }
        catch (InvalidOperationException e)
        {
            throw new UserException(e.Message);
        }
    }

    private static int Explain(Exception exception, Terminal terminal)
    {
        var e = exception;
        while (e is AggregateException or System.Reflection.TargetInvocationException or TypeInitializationException && e.InnerException is not null)
        {
            e = e.InnerException;
        }

        if (IsBrokenPipe(e))
        {
            return Failure; // whoever read our output has had enough
        }

        var (sentence, code) = e switch
        {
            UserException or InvalidDataException or UnauthorizedAccessException => (Sentence(e.Message), Failure),
            IOException => (Sentence(e.Message), Failure),
            ArgumentException => (Sentence(e.Message), Failure),
            OutOfMemoryException => ($"not enough memory: {Sentence(e.Message)} Smaller --batch, --context, --embd or --layers need less.", Failure),
            _ => ($"unexpected {e.GetType().Name}: {Sentence(e.Message)} NANOGRAD_DEBUG=1 shows where it came from.", Unexpected),
        };
        terminal.Error.WriteLine($"error: {sentence}");
        if (!string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NANOGRAD_DEBUG")))
        {
            terminal.Error.WriteLine(exception);
        }

        return code;
    }

    private static bool IsBrokenPipe(Exception e) => e is IOException && e.Message.Contains("Broken pipe", StringComparison.Ordinal);

    /// <summary>One line with a full stop.</summary>
    /// <summary>How many words name the command: those after them are its own business.</summary>
    private static int Depth(SymbolResult? command) => command?.Parent is CommandResult parent ? 1 + Depth(parent) : 0;

    private static string Sentence(string message)
    {
        var line = Lines().Replace(ParameterTail().Replace(message.Trim(), ""), " ");
        return line.Length == 0 ? "no message." : line[^1] is '.' or '!' or '?' ? line : line + ".";
    }

    [GeneratedRegex(@"\s*\(Parameter '[^']*'\)")]
    private static partial Regex ParameterTail();

    [GeneratedRegex(@"\s*[\r\n]+\s*")]
    private static partial Regex Lines();
}
