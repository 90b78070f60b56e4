# `just` lists what can be done here. Each line is a script or a command that also works without just.

# List the recipes.
default:
    @just --list

# Set up, build and run the lecture.
lecture *arguments:
    scripts/lecture.sh {{arguments}}

# The lecture's cells one by one in Jupyter: `just live install`, `just live check`.
live *arguments:
    scripts/live.sh {{arguments}}

# Every test that this machine can run; `just test quick` for half a minute.
test *arguments:
    scripts/test.sh {{arguments}}

# What continuous integration runs.
ci:
    .ci/run

# Time this program and PyTorch; prints a Markdown table.
bench *arguments:
    scripts/bench.sh {{arguments}}

# All checks of a machine with an NVIDIA card, with a report.
gpu-check *arguments:
    scripts/gpu-check.sh {{arguments}}

# Build and test against each published pair of tch and libtorch.
all-libtorch *arguments:
    scripts/all-libtorch.sh {{arguments}}

# The tests through libtorch under the address sanitizer.
sanitize *arguments:
    scripts/sanitize.sh {{arguments}}

# Advisories, licenses and sources of the dependencies.
supply-chain:
    scripts/supply-chain.sh

# Regenerate the committed ensemble, with its docs.
ensemble *arguments:
    scripts/ensemble.py {{arguments}}

# Check the spelling of everything.
spelling:
    scripts/spelling.sh

# Find which checks catch which deliberate faults.
faults *arguments:
    scripts/faults.py {{arguments}}
