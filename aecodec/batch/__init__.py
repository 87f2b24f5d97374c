"""Many files: walks folders as a stream, works in several processes and yields each result as it is ready.

    options = BatchOptions(inputs=(Path("photos"),), out_dir=Path("out"), extension="aec", jobs=2)
    for result in run_batch(EncodeJob(quality=40), options):
        ...

The parts stand alone, for other schedulers: `plan.plan` lists the work, or one shard of it; `work.process` does one
item in the calling process; `results.write_results` marks a shard as complete.
"""
