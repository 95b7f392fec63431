using System.Globalization;

namespace Nanograd.CSharp;

public abstract partial class Module
{
    /// <summary>What is said of the module in parentheses when it is printed, as PyTorch does: <c>in_features=2, out_features=32, bias=True</c>.</summary>
    protected virtual string ExtraRepr() => "";

    /// <summary>The module and its parts as PyTorch prints them.</summary>
    public override string ToString()
    {
        var extra = ExtraRepr();
        var children = OwnParts().Where(p => p.Part is Module).Select(p => $"({p.Name}): {Indented(p.Part.ToString()!)}").ToList();
        if (children.Count == 0)
        {
            return $"{GetType().Name}({extra})";
        }

        var lines = extra.Length > 0 ? children.Prepend(extra) : children;
        return $"{GetType().Name}(\n  {string.Join("\n  ", lines)}\n)";
    }

    private static string Indented(string text) => text.Replace("\n", "\n  ");

    /// <summary>As Python writes it.</summary>
    private protected static string Repr(bool value) => value ? "True" : "False";

    /// <summary>As Python writes it: 0.1, 1e-05, 2.0.</summary>
    private protected static string Repr(double value)
    {
        var text = value.ToString("R", CultureInfo.InvariantCulture);
        if (value == 0 || !double.IsFinite(value))
        {
            return value == 0 ? "0.0" : double.IsNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
        }

        var exponent = (int)Math.Floor(Math.Log10(Math.Abs(value)));
        if (exponent is < -4 or >= 16)
        {
            var parts = value.ToString("0.################E+00", CultureInfo.InvariantCulture).Split('E');
            return $"{parts[0]}e{parts[1]}";
        }

        return text.Contains('.') || text.Contains('E') ? decimal.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture) : text + ".0";
    }

    /// <summary>As Python writes a tuple.</summary>
    private protected static string Repr(int[] values) => values.Length == 1 ? $"({values[0]},)" : $"({string.Join(", ", values)})";
}
