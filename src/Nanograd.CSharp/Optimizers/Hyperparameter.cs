using System.Globalization;

namespace Nanograd.CSharp;

/// <summary>A number that an optimizer works with: its name, its value unless a group says otherwise, and what values it may have.</summary>
/// <param name="Name">The name of the constructor's argument.</param>
/// <param name="Value">The value of the optimizer.</param>
/// <param name="Low">The least value.</param>
/// <param name="High">The value it must stay below.</param>
/// <param name="Moves">Whether it is an input of the compiled step, so that it may change every step; others are built into it.</param>
internal sealed record Hyperparameter(string Name, double Value, double Low, double High, bool Moves)
{
    /// <summary>The learning rate.</summary>
    public static Hyperparameter Rate(double value) => new("lr", value, 0, double.PositiveInfinity, Moves: true);

    /// <summary>What the one-cycle and cyclic schedules move against the rate: a momentum.</summary>
    public static Hyperparameter Momentum(double value) => new("momentum", value, 0, double.PositiveInfinity, Moves: true);

    /// <summary>The weight of the past in an average, from 0 to less than 1. The first one takes the place of a momentum.</summary>
    public static Hyperparameter Beta(string name, double value) => new(name, value, 0, 1, Moves: name == "beta1");

    /// <summary>Two of those.</summary>
    public static Hyperparameter[] Betas((double Beta1, double Beta2)? values, double beta1, double beta2) =>
        [Beta("beta1", values?.Beta1 ?? beta1), Beta("beta2", values?.Beta2 ?? beta2)];

    /// <summary>A number that is not negative.</summary>
    public static Hyperparameter Positive(string name, double value) => new(name, value, 0, double.PositiveInfinity, Moves: false);

    /// <summary>Any finite number.</summary>
    public static Hyperparameter Any(string name, double value) => new(name, value, double.MinValue, double.PositiveInfinity, Moves: false);

    /// <summary>Yes or no, as 1 or 0.</summary>
    public static Hyperparameter Switch(string name, bool value) => new(name, value ? 1 : 0, 0, 2, Moves: false);

    /// <summary>The value, if it is one that this may have.</summary>
    public double Check(double value)
    {
        if (value >= Low && value < High)
        {
            return value;
        }

        var wanted = High < double.PositiveInfinity ? $"at least {Low} and less than {High}"
            : Low == 0 ? "a finite number that is not negative" : "a finite number";
        throw new ArgumentException($"{Name} must be {wanted}, got {value.ToString(CultureInfo.InvariantCulture)}.");
    }
}
