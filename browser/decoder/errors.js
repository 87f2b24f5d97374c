// The errors of aecodec, by the names that Python's have (aecodec/errors.py). Each message is one line.

export class AecError extends Error {
  static {
    this.prototype.name = "AecError";
  }
}

/** A picture is larger than a limit; the message names limit and value. */
export class LimitExceeded extends AecError {
  static {
    this.prototype.name = "LimitExceeded";
  }
}

/** The requested region is not within the picture. */
export class OutsidePicture extends AecError {
  static {
    this.prototype.name = "OutsidePicture";
  }
}

/** The bytes are damaged, cut short, or not an `.aec` file. */
export class CorruptFile extends AecError {
  static {
    this.prototype.name = "CorruptFile";
  }
}

/** A header asks for more than the limit allows: refused before anything is allocated. */
export class HeaderLimitExceeded extends CorruptFile {
  static {
    this.prototype.name = "HeaderLimitExceeded";
  }
}

/** The file has a format version that this reader does not know. */
export class UnsupportedVersion extends AecError {
  static {
    this.prototype.name = "UnsupportedVersion";
  }
}

/** The file names weights that are not to be had, or a weights file is damaged. */
export class UnknownWeights extends AecError {
  static {
    this.prototype.name = "UnknownWeights";
  }
}

/** This browser lacks what the decoder needs. */
export class UnsupportedBrowser extends AecError {
  static {
    this.prototype.name = "UnsupportedBrowser";
  }
}

const CLASSES = {
  AecError,
  LimitExceeded,
  OutsidePicture,
  CorruptFile,
  HeaderLimitExceeded,
  UnsupportedVersion,
  UnknownWeights,
  UnsupportedBrowser,
};

/** An error of this family from the name and message that came out of a worker; any other is an Error. */
export function revive({ name, message }) {
  return new (CLASSES[name] ?? Error)(message);
}
