"""emulated_run.py PONDER MAKE_TINY_MODEL LEARNER_LIBRARY CUDA_LIBRARY: `ponder train` as on GPUs, with emulated devices
in the place of cards: a cold start, a step of GRPO on one, a step on two joined by a fake NCCL, a third that
one learns and the other generates for, and samples replayed; then a step in bf16 with exact and with fast numerics, of more sequences than the rows from which
products change."""
import csv
import io
import os
import shutil
import subprocess
import sys
import tempfile


def main():
    ponder, make_tiny_model, learner, cuda = map(os.path.abspath, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        # The program looks for its libraries where it lies.
        program = os.path.join(folder, "ponder")
        shutil.copy(ponder, program)
        os.symlink(learner, os.path.join(folder, "libponder_learner.so"))
        os.symlink(cuda, os.path.join(folder, "libponder_cuda.so"))
        subprocess.run([make_tiny_model, f"{folder}/tiny", "2"], check=True)

        def train(run, *arguments):
            """What it said."""
            done = subprocess.run([program, "train", f"{folder}/tiny/run.toml", "--run", f"{folder}/{run}",
                                   "--set", "machine.device=cuda", "--set", "rollout.prompts_per_step=3", "--set",
                                   "eval.tasks=1", *arguments], stderr=subprocess.PIPE, text=True)
            print(done.stderr)
            assert done.returncode == 0, done.returncode
            return done.stderr

        def metric(run, name):
            """By step."""
            exported = subprocess.run([program, "runs", "export", f"{folder}/{run}", "--format", "csv"], check=True,
                                      capture_output=True, text=True).stdout
            return {row["step"]: float(row[name]) for row in csv.DictReader(io.StringIO(exported)) if row.get(name)}

        def replay(run, samples):
            return subprocess.run([program, "replay", f"{folder}/{run}", "--random", samples], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)

        train("run", "--set", "run.steps=1")
        said = train("run", "--resume", "--set", "machine.device=cuda:0,cuda:1", "--set", "run.steps=2")
        assert "devices: cuda:0,cuda:1; gradients are added up over NCCL" in said, said
        said = train("run", "--resume", "--set", "machine.device=cuda:1", "--set", "machine.rollout_device=cuda:0", "--set",
                     "run.steps=3")
        assert "completions: generated on cuda:0; weights reach it over NCCL" in said, said
        found = metric("run", "exactness/logprob_max_abs_diff")
        assert found == {"1": 0.0, "2": 0.0, "3": 0.0}, found
        replayed = replay("run", "3")
        assert replayed.returncode == 0, replayed.stdout

        many = ["--set", "model.dtype=bf16", "--set", "run.steps=1", "--set", "sft.path=", "--set", "eval.tasks=0",
                "--set", "rollout.prompts_per_step=17", "--set", "rollout.max_sequences=136"]
        said = train("exact", *many)
        assert "numerics" not in said
        found = metric("exact", "exactness/logprob_max_abs_diff")
        assert found == {"1": 0.0}, found
        assert not metric("exact", "policy/importance_mean")

        said = train("fast", *many, "--set", "machine.numerics=fast")
        assert "tokens weigh at most 2 (learner.importance_cap)" in said
        found = metric("fast", "exactness/logprob_max_abs_diff")
        assert 0 < found["1"] < 0.1, found
        corrected = metric("fast", "policy/importance_mean")
        assert 0.9 < corrected["1"] < 1.1 and corrected["1"] != 1, corrected
        replayed = replay("fast", "3")
        assert "give exactness up" in replayed.stdout, replayed.stdout
        assert replayed.returncode == 1 and "to be expected of the numerics fast" in replayed.stdout, replayed.stdout


if __name__ == "__main__":
    main()
