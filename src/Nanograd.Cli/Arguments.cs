using System.CommandLine;
using System.Globalization;

namespace Nanograd.Cli;

/// <summary>Options as texts that the command reads itself, so that every mistake is explained in one way.</summary>
internal static class Arguments
{
    public static Option<string?> Text(string name, string helpName, string help, string? shownDefault = null) => new(name)
    {
        HelpName = helpName,
        Description = shownDefault is null ? help : $"{help} [default: {shownDefault}]",
        Arity = ArgumentArity.OneOrMore, // given twice, the last one counts
        CustomParser = argument => argument.Tokens[^1].Value,
    };

    public static Option<bool> Flag(string name, string help) => new(name) { Description = help, Arity = ArgumentArity.Zero };

    public static int Whole(string name, string text, int least) => (int)Long(name, text, least, int.MaxValue);

    public static long Long(string name, string text, long least = long.MinValue, long most = long.MaxValue)
    {
        if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value))
        {
            throw new UserException($"{name} must be a whole number, got '{text}'.");
        }

        return value < least ? throw new UserException($"{name} must be at least {least}, got {text}.")
            : value > most ? throw new UserException($"{name} must be at most {most}, got {text}.")
            : value;
    }

    public static double Number(string name, string text, double least, double most = double.PositiveInfinity, bool open = false)
    {
        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) || !double.IsFinite(value))
        {
            throw new UserException($"{name} must be a finite number, got '{text}'.");
        }

        return value < least ? throw new UserException($"{name} must be at least {Show(least)}, got {text}.")
            : value > most || (open && value >= most) ? throw new UserException($"{name} must be {(open ? "less than" : "at most")} {Show(most)}, got {text}.")
            : value;
    }

    public static bool Truth(string name, string text) =>
        bool.TryParse(text, out var value) ? value : throw new UserException($"{name} must be true or false, got '{text}'.");

    public static string Show(double value) => value.ToString("R", CultureInfo.InvariantCulture);

    public static string Show(long value) => value.ToString(CultureInfo.InvariantCulture);
}
