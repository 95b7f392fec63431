using System.Globalization;
using System.Text;
using Spectre.Console;

namespace Nanograd.Cli;

/// <summary>Training and validation loss over the steps, drawn with Braille dots: two across and four down in a character.</summary>
internal static class LossPlot
{
    private const int LabelWidth = 7;

    public static void Write(IAnsiConsole console, LossHistory history, int width, int height)
    {
        var columns = width - LabelWidth - 1;
        var all = history.Training.Concat(history.Validation).ToList();
        double low = all.Min(p => p.Loss), high = all.Max(p => p.Loss);
        if (high - low < 1e-9)
        {
            high = low + 1;
        }

        long first = all.Min(p => p.Step), last = Math.Max(first + 1, all.Max(p => p.Step));
        var training = new bool[columns * 2, height * 4];
        Draw(training, history.Training);
        var validation = new Dictionary<(int Column, int Row), bool>();
        foreach (var (step, loss) in history.Validation)
        {
            var (x, y) = Place(step, loss, columns * 2, height * 4);
            validation[(x / 2, y / 4)] = true;
        }

        console.MarkupLine($"{new string(' ', LabelWidth)} loss   [blue]{Cell(training, -1, -1)}[/] train   [yellow]●[/] validation");
        for (var row = 0; row < height; row++)
        {
            var label = row == 0 ? high : row == height - 1 ? low : row == height / 2 ? high - (high - low) * row / (height - 1) : double.NaN;
            var line = new StringBuilder(double.IsNaN(label) ? new string(' ', LabelWidth) : label.ToString("0.00", CultureInfo.InvariantCulture).PadLeft(LabelWidth));
            line.Append(double.IsNaN(label) ? '│' : '┤');
            for (var column = 0; column < columns; column++)
            {
                var cell = Cell(training, column, row);
                line.Append(validation.ContainsKey((column, row)) ? "[yellow]●[/]" : cell == '\u2800' ? " " : $"[blue]{cell}[/]");
            }

            console.MarkupLine(line.ToString().Replace("[/][blue]", "", StringComparison.Ordinal));
        }

        console.WriteLine($"{new string(' ', LabelWidth)}└{new string('─', columns)}");
        var right = $"step {last}";
        console.WriteLine($"{new string(' ', LabelWidth + 1)}{first.ToString(CultureInfo.InvariantCulture).PadRight(Math.Max(0, columns - right.Length))}{right}");

        (int X, int Y) Place(long step, double loss, int dotsAcross, int dotsDown) => (
            (int)Math.Round((double)(step - first) / (last - first) * (dotsAcross - 1)),
            (int)Math.Round((high - loss) / (high - low) * (dotsDown - 1)));

        void Draw(bool[,] dots, IReadOnlyList<(long Step, double Loss)> points)
        {
            (int X, int Y)? before = null;
            foreach (var (step, loss) in points)
            {
                var (x, y) = Place(step, loss, dots.GetLength(0), dots.GetLength(1));
                var (fromX, fromY) = before ?? (x, y);
                var length = Math.Max(1, Math.Max(Math.Abs(x - fromX), Math.Abs(y - fromY)));
                for (var i = 0; i <= length; i++)
                {
                    dots[fromX + (x - fromX) * i / length, fromY + (y - fromY) * i / length] = true;
                }

                before = (x, y);
            }
        }
    }

    /// <summary>The Braille character of a cell; of no cell: a line for the legend.</summary>
    private static char Cell(bool[,] dots, int column, int row)
    {
        if (column < 0)
        {
            return '⠤';
        }

        // Dots 1 to 8 of Unicode's Braille patterns, by place.
        ReadOnlySpan<int> bits = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];
        var pattern = 0;
        for (var i = 0; i < 8; i++)
        {
            if (dots[column * 2 + i % 2, row * 4 + i / 2])
            {
                pattern |= bits[i];
            }
        }

        return (char)(0x2800 + pattern);
    }
}
