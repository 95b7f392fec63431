using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary>What a model is given to start from.</summary>
internal static class Prompts
{
    /// <summary>A line feed where the model knows one, else its first character.</summary>
    public static int Default(Tokenizer tokenizer)
    {
        try
        {
            return tokenizer.Encode("\n")[0];
        }
        catch (ArgumentException)
        {
            return 0;
        }
    }
}
