/** The version of this package. */
export declare const VERSION = "0.1.0";
