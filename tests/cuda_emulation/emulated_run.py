"""emulated_run.py PONDER MAKE_TINY_MODEL LEARNER_LIBRARY CUDA_LIBRARY: `ponder train` as on GPUs, with emulated devices
in the place of cards: a cold start, a step of GRPO on one, a step on two joined by a fake NCCL, a third that
one learns and the other generates for, and samples replayed."""
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
        run = f"{folder}/run"

        def train(*arguments):
            done = subprocess.run([program, "train", f"{folder}/tiny/run.toml", "--run", run, "--set",
                                   "rollout.prompts_per_step=3", "--set", "eval.tasks=1", *arguments],
                                  check=True, stderr=subprocess.PIPE, text=True)
            print(done.stderr, file=sys.stderr)
            return done.stderr

        train("--set", "machine.device=cuda", "--set", "run.steps=1")
        said = train("--resume", "--set", "machine.device=cuda:0,cuda:1", "--set", "run.steps=2")
        assert "devices: cuda:0,cuda:1; gradients are added up over NCCL" in said, said
        said = train("--resume", "--set", "machine.device=cuda:1", "--set", "machine.rollout_device=cuda:0", "--set",
                     "run.steps=3")
        assert "completions: generated on cuda:0; weights reach it over NCCL" in said, said
        exported = subprocess.run([program, "runs", "export", run, "--format", "csv"], check=True, capture_output=True,
                                  text=True).stdout
        rows = list(csv.DictReader(io.StringIO(exported)))
        found = {row["step"]: float(row["exactness/logprob_max_abs_diff"]) for row in rows
                 if row.get("exactness/logprob_max_abs_diff")}
        assert found == {"1": 0.0, "2": 0.0, "3": 0.0}, found
        subprocess.run([program, "replay", run, "--random", "3"], check=True)


if __name__ == "__main__":
    main()
