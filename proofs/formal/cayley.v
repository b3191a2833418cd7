(* The Cayley transform of a skew matrix exists and is orthogonal, and the p x p form that the library computes is
   never singular and equals the dense n x n one.
   Source: Cayley 1846; Wen & Yin 2013 (the compact form by Woodbury's identity); docs/mathematics.md. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From StiefelFormal Require Import frobenius isometry.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

Definition skew (R : ringType) n (A : 'M[R]_n) := A^T = - A.

(* The n x n skew matrix of a tangent vector U = X0 A + K, X0^T K = 0: it takes X0 to U. *)
Definition generator (R : ringType) n p (X0 : 'M[R]_(n, p)) (A : 'M[R]_p) (K : 'M[R]_(n, p)) : 'M[R]_n :=
  X0 *m A *m X0^T + K *m X0^T - X0 *m K^T.

Section Generator.
Variables (R : comRingType) (n p : nat) (X0 K : 'M[R]_(n, p)) (A : 'M[R]_p).
Hypotheses (X0_point : on_manifold X0) (K_normal : X0^T *m K = 0).
Let W := generator X0 A K.

Lemma normal_tr : K^T *m X0 = 0.
Proof. by rewrite -[LHS]trmxK trmx_mul trmxK K_normal trmx0. Qed.

Lemma generator_skew : skew A -> skew W.
Proof.
rewrite /skew /W /generator => A_skew; rewrite [LHS]linearB [X in X - _]linearD /= !trmx_mul !trmxK A_skew.
by rewrite mulNmx mulmxN mulmxA !opprD opprK addrAC.
Qed.

Lemma generator_base : W *m X0 = X0 *m A + K.
Proof.
rewrite /W /generator mulmxBl mulmxDl -!mulmxA normal_tr.
by rewrite [X0^T *m X0]X0_point !mulmx1 mulmx0 subr0.
Qed.

Lemma generator_normal : W *m K = - (X0 *m (K^T *m K)).
Proof. by rewrite /W /generator mulmxBl mulmxDl -!mulmxA K_normal !mulmx0 addr0 sub0r. Qed.

End Generator.

Section Cayley.
Variable R : realFieldType.
Let two0 : 2%:R != 0 :> R.
Proof. by rewrite pnatr_eq0. Qed.

Definition cayley n (W : 'M[R]_n) := invmx (1%:M - 2%:R^-1 *: W) *m (1%:M + 2%:R^-1 *: W).

(** I + A is invertible for every skew A, of any size and however large. *)
Theorem identity_plus_skew_invertible n (A : 'M[R]_n) : skew A -> 1%:M + A \in unitmx.
Proof.
rewrite /skew => A_skew; apply: (@accretive_unit _ 0 _ _ 0 0) => //.
by rewrite linearD /= trmx1 A_skew scale0r addr0 addrACA subrr addr0 -raddfD.
Qed.

Lemma skewZ n c (A : 'M[R]_n) : skew A -> skew (c *: A).
Proof. by rewrite /skew => A_skew; rewrite linearZ /= A_skew scalerN. Qed.

Lemma skewN n (A : 'M[R]_n) : skew A -> skew (- A).
Proof. by rewrite /skew => A_skew; rewrite linearN /= A_skew. Qed.

Lemma dot_skew n m (W : 'M[R]_n) (X Y : 'M[R]_(n, m)) : skew W -> dot (W *m X) Y = - dot X (W *m Y).
Proof. by rewrite /skew => W_skew; rewrite /dot trmx_mul W_skew mulmxN mulNmx -mulmxA raddfN. Qed.

Lemma dot_skew_self n m (W : 'M[R]_n) (X : 'M[R]_(n, m)) : skew W -> dot X (W *m X) = 0.
Proof. by move/(dot_skew X X)/eqP; rewrite dotC -addr_eq0 -mulr2n mulrn_eq0 => /eqP. Qed.

Lemma cayley_denominator n (W : 'M[R]_n) : skew W -> 1%:M - 2%:R^-1 *: W \in unitmx.
Proof. by move=> W_skew; apply/identity_plus_skew_invertible/skewN/skewZ. Qed.

(** The Cayley transform (I - W/2)^-1 (I + W/2) of a skew W is orthogonal. *)
Theorem cayley_orthogonal n (W : 'M[R]_n) : skew W -> on_manifold (cayley W).
Proof.
move=> W_skew; rewrite /on_manifold /cayley.
have H_skew := skewZ 2%:R^-1 W_skew.
set H := 2%:R^-1 *: W in H_skew *.
have minus_unit : 1%:M - H \in unitmx by apply: cayley_denominator.
have plus_unit : 1%:M + H \in unitmx by apply: identity_plus_skew_invertible.
have commute : (1%:M - H) *m (1%:M + H) = (1%:M + H) *m (1%:M - H).
  by rewrite !mulmxDl !mulmxDr !mul1mx !mulmx1 mulmxN mulNmx; rewrite addrACA addrACA addrC addrCA addrC.
have swap : invmx (1%:M - H) *m (1%:M + H) = (1%:M + H) *m invmx (1%:M - H).
  by apply: (can_inj (mulKmx minus_unit)); rewrite mulKVmx // mulmxA commute mulmxK.
have tr_minus : (1%:M - H)^T = 1%:M + H by rewrite linearB /= trmx1 H_skew opprK.
have tr_plus : (1%:M + H)^T = 1%:M - H by rewrite linearD /= trmx1 H_skew.
rewrite {1}swap trmx_mul trmx_inv tr_minus tr_plus mulmxA.
by rewrite mulmxK // mulVmx.
Qed.

(** A Cayley transform never has the eigenvalue -1, and W is recovered from it: W = 2 (C - I)(C + I)^-1. *)
Theorem cayley_inverse n (W : 'M[R]_n) (C := cayley W) :
  skew W -> C + 1%:M \in unitmx /\ W = 2%:R *: ((C - 1%:M) *m invmx (C + 1%:M)).
Proof.
move=> W_skew; have unit := cayley_denominator W_skew; set D := 1%:M - 2%:R^-1 *: W in unit.
have plus : D *m (C + 1%:M) = 2%:R%:M.
  by rewrite mulmxDr mulmx1 mulKVmx // /D addrACA subrr addr0 -raddfD.
have minus : D *m (C - 1%:M) = W.
  rewrite mulmxBr mulmx1 mulKVmx // /D opprB addrC addrA subrK -scalerDl.
  by rewrite (_ : 2%:R^-1 + 2%:R^-1 = 1) ?scale1r //; field.
have C_unit : C + 1%:M \in unitmx.
  have: D *m (C + 1%:M) \in unitmx by rewrite plus unitmxE det_scalar unitrX ?unitfE.
  by rewrite unitmx_mul => /andP[].
split=> //; apply: (can_inj (mulmxK C_unit)); rewrite -scalemxAl mulmxKV //.
apply: (can_inj (mulKmx unit)); rewrite -scalemxAr minus mulmxA.
have -> : D *m W = W *m D by rewrite mulmxBl mulmxBr mul1mx mulmx1 -scalemxAl -scalemxAr.
by rewrite -mulmxA plus mul_mx_scalar.
Qed.

(** Every orthogonal C without the eigenvalue -1 is the Cayley transform of the skew W = 2 (C - I)(C + I)^-1. *)
Theorem cayley_reaches n (C : 'M[R]_n) (W := 2%:R *: ((C - 1%:M) *m invmx (C + 1%:M))) :
  on_manifold C -> C + 1%:M \in unitmx -> skew W /\ cayley W = C.
Proof.
move=> C_point C_unit; have C_row : C *m C^T = 1%:M by apply: mulmx1C.
set D := C + 1%:M in C_unit W *.
have Dt_unit : D^T \in unitmx by rewrite unitmx_tr.
have W_skew : skew W.
  rewrite /skew /W linearZ /= -scalerN; congr (_ *: _); rewrite trmx_mul trmx_inv.
  apply: (can_inj (mulKmx Dt_unit)); rewrite mulKVmx //.
  apply: (can_inj (mulmxK C_unit)); rewrite mulmxN mulNmx -!mulmxA mulVmx // mulmx1.
  rewrite /D [(C - _)^T]linearB [(C + _)^T]linearD /= trmx1.
  rewrite !(mulmxBl, mulmxDl, mulmxBr, mulmxDr, mul1mx, mulmx1) [C^T *m C]C_point.
  move: (1%:M : 'M_n) C^T => I T; apply/matrixP => i j; rewrite !mxE.
  by move: (I i j) (T i j) (C i j) => a b c; ring.
split=> //; apply: (can_inj (mulKmx (cayley_denominator W_skew))); rewrite mulKVmx ?cayley_denominator //.
rewrite /W scalerA mulVf // scale1r.
have : (C - 1%:M) *m invmx D *m D = C - 1%:M by rewrite mulmxKV.
move: (_ *m invmx D) => N; rewrite {1}/D mulmxDr mulmx1 mulmxBl mul1mx; move: (N *m C) => NC NC_N.
by rewrite -[N](addKr NC) NC_N addrC -addrA subrK addrC.
Qed.

Section Compact.
Variables (n p : nat) (X0 K : 'M[R]_(n, p)) (A : 'M[R]_p).
Hypotheses (X0_point : on_manifold X0) (K_normal : X0^T *m K = 0) (A_skew : skew A).

Definition compact_denominator : 'M[R]_p := 1%:M + 4%:R^-1 *: (K^T *m K) - 2%:R^-1 *: A.
Definition compact_cayley : 'M[R]_(n, p) := (2%:R *: X0 + K) *m invmx compact_denominator - X0.

(** The p x p matrix I + S/4 - A/2, S = K^T K, that the compact Cayley map inverts is never singular. *)
Theorem compact_cayley_never_singular : compact_denominator \in unitmx.
Proof.
apply: (@accretive_unit _ _ _ _ K (2%:R * 4%:R^-1)); first by rewrite divr_ge0 ?ler0n.
rewrite /compact_denominator linearB linearD !linearZ /= trmx1 A_skew trmx_mul trmxK scalerN opprK.
rewrite addrACA addNr addr0 -scalerA addrACA.
by rewrite -[2%:R%:M]scalemx1 !scaler_nat !mulr2n.
Qed.

(** The compact Cayley map (2 X0 + K)(I + S/4 - A/2)^-1 - X0 equals the dense n x n Cayley transform of W = X0 A X0^T +
    K X0^T - X0 K^T, applied to X0. *)
Theorem compact_cayley_equals_dense : compact_cayley = cayley (generator X0 A K) *m X0.
Proof.
set W := generator X0 A K.
have W_unit : 1%:M - 2%:R^-1 *: W \in unitmx by apply/cayley_denominator/generator_skew.
apply: (can_inj (mulKmx W_unit)); rewrite /cayley -mulmxA mulKVmx // /compact_cayley.
have key : (1%:M - 2%:R^-1 *: W) *m (2%:R *: X0 + K) = 2%:R *: X0 *m compact_denominator.
  rewrite mulmxBl mul1mx -scalemxAl mulmxDr -scalemxAr generator_base // generator_normal //.
  rewrite scalerDr scalerA mulVf // scale1r /compact_denominator mulmxBr mulmxDr mulmx1 -!scalemxAl -!scalemxAr.
  rewrite !scalerA divff // scale1r.
  have -> : 2%:R * 4%:R^-1 = 2%:R^-1 :> R by field.
  move: (X0 *m A) (X0 *m (K^T *m K)) => U V; apply/matrixP => i j; rewrite !mxE.
  by move: (X0 i j) (K i j) (U i j) (V i j) 2%:R^-1 => a b c d h; ring.
rewrite mulmxBr mulmxA key mulmxK ?compact_cayley_never_singular //.
by rewrite -/W mulmxBl mulmxDl !mul1mx opprB scaler_nat mulr2n addrA addrAC addrK.
Qed.

(** The compact Cayley map lands on the manifold. *)
Theorem compact_cayley_on_manifold : on_manifold compact_cayley.
Proof.
rewrite compact_cayley_equals_dense; apply: products_stay_on_the_manifold => //.
by apply/cayley_orthogonal/generator_skew.
Qed.

End Compact.
End Cayley.
