using Spectre.Console;

namespace Nanograd.Cli;

/// <summary>Where a command writes: results to Out, everything else to the console that its options ask for.</summary>
internal sealed class Terminal(TextWriter output, TextWriter error, bool redirected)
{
    private const int PlainWidth = 100;

    /// <summary>Standard output.</summary>
    public TextWriter Out { get; } = output;

    /// <summary>Standard error.</summary>
    public TextWriter Error { get; } = error;

    /// <summary>True when a person may be watching: colours and moving bars make sense.</summary>
    public bool IsLive { get; } = !redirected;

    /// <summary>True when NO_COLOR (https://no-color.org) is set.</summary>
    private static bool NoColor => !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));

    /// <summary>A console for people: on standard output, or (<paramref name="aside"/>) on standard error and plain.</summary>
    public IAnsiConsole Console(bool aside = false)
    {
        var live = IsLive && !aside;
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(aside ? Error : Out),
            Ansi = live ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = live && !NoColor ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = live ? InteractionSupport.Detect : InteractionSupport.No,
        });
        if (!live)
        {
            console.Profile.Width = PlainWidth;
        }

        return console;
    }
}
