(* A Householder reflector is orthogonal, and the compact WY form that the library computes is the product of p of them.
   Source: Schreiber & Van Loan 1989; Joffrain et al. 2006 (the triangular factor's inverse). *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From StiefelFormal Require Import frobenius isometry.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

Section Reflector.
Variables (R : realFieldType) (n : nat).

(* H = I - 2 v v^T / ||v||^2. *)
Definition reflector (v : 'cV[R]_n) : 'M[R]_n := 1%:M - (2%:R / sqnorm v) *: (v *m v^T).

Lemma inner_scalar (v w : 'cV[R]_n) : v^T *m w = (dot v w)%:M.
Proof. by rewrite [LHS]mx11_scalar /dot /mxtrace big_ord1. Qed.

Lemma reflector_symmetric v : (reflector v)^T = reflector v.
Proof. by rewrite /reflector linearB linearZ /= trmx1 trmx_mul trmxK. Qed.

(** A Householder reflector of a non-zero vector is orthogonal. *)
Theorem reflector_orthogonal v : v != 0 -> on_manifold (reflector v).
Proof.
move=> v0; rewrite /on_manifold reflector_symmetric /reflector; set t := 2%:R / sqnorm v.
have square : v *m v^T *m (v *m v^T) = sqnorm v *: (v *m v^T).
  by rewrite mulmxA -(mulmxA v) inner_scalar mul_mx_scalar -scalemxAl.
have tt : t * t * sqnorm v = t + t.
  by rewrite -mulrA divfK ?sqnorm_eq0 // mulr_natr mulr2n.
rewrite mulmxBl mul1mx mulmxBr mulmx1 -!scalemxAl -!scalemxAr square !scalerA tt.
by rewrite scalerDl opprB addrK subrK.
Qed.

(** Where x and y differ and have the same norm, the reflector of x - y takes x to y. *)
Theorem reflector_takes_x_to_y (x y : 'cV[R]_n) : x != y -> sqnorm x = sqnorm y -> reflector (x - y) *m x = y.
Proof.
move=> x_y same; rewrite /reflector mulmxBl mul1mx -scalemxAl -mulmxA inner_scalar mul_mx_scalar scalerA.
have v0 : sqnorm (x - y) != 0 by rewrite sqnorm_eq0 subr_eq0.
suff -> : 2%:R / sqnorm (x - y) * dot (x - y) x = 1 by rewrite scale1r opprB addrC subrK.
suff twice : 2%:R * dot (x - y) x = sqnorm (x - y) by rewrite mulrAC twice divff.
by rewrite sqnormB -same dotC dotDr dotNr -[dot x x]/(sqnorm x); ring.
Qed.

End Reflector.

Section CompactWY.
Variable R : realFieldType.

(* striu(V^T V) + diag(V^T V)/2. *)
Definition wy_factor n p (V : 'M[R]_(n, p)) : 'M[R]_p :=
  \matrix_(i, j) if (i < j)%N then (V^T *m V) i j else if i == j then (V^T *m V) i i / 2%:R else 0.

(* The product H_0 H_1 ... H_(p-1) of the reflectors of the columns of V, from left to right. *)
Fixpoint product_of_reflectors n (v : nat -> 'cV[R]_n) p : 'M[R]_n :=
  if p is q.+1 then product_of_reflectors v q *m reflector (v q) else 1%:M.

Definition nth_column n p (V : 'M[R]_(n, p)) (j : nat) : 'cV[R]_n := oapp (fun i => col i V) 0 (insub j).

Lemma nth_columnE n p (V : 'M[R]_(n, p)) (j : 'I_p) : nth_column V j = col j V.
Proof. by rewrite /nth_column valK. Qed.

Lemma gram_entry n p (V : 'M[R]_(n, p)) i j : (V^T *m V) i j = dot (col i V) (col j V).
Proof. by rewrite /dot /mxtrace big_ord1 !mxE; apply: eq_bigr => k _; rewrite !mxE. Qed.

(* Column k of B in the product I - B V^T. *)
Let weight n (v : nat -> 'cV[R]_n) k := (2%:R / sqnorm (v k)) *: (product_of_reflectors v k *m v k).

Lemma product_as_sum n (v : nat -> 'cV[R]_n) p :
  product_of_reflectors v p = 1%:M - \sum_(j < p) weight v j *m (v j)^T.
Proof.
elim: p => [|p IH]; first by rewrite big_ord0 subr0.
rewrite big_ord_recr /= /reflector mulmxBr mulmx1 opprD addrA -IH -scalemxAr /weight -scalemxAl.
by rewrite mulmxA.
Qed.

Lemma sum_below p (k : 'I_p) (F : 'I_p -> R) :
  (forall j : 'I_p, (k < j)%N -> F j = 0) -> \sum_j F j = F k + \sum_(j : 'I_p | (j < k)%N) F j.
Proof.
move=> above; rewrite (bigD1 k) //= (bigID (fun j : 'I_p => (j < k)%N)) /=; congr (_ + _).
rewrite [X in _ + X]big1 ?addr0; last first.
  by move=> j /andP[j_k]; rewrite -leqNgt leq_eqVlt val_eqE eq_sym (negbTE j_k); apply: above.
by apply: eq_bigl => j; rewrite andb_idl // => j_k; rewrite -val_eqE neq_ltn j_k.
Qed.

(** A product of Householder reflectors of non-zero vectors is orthogonal. *)
Theorem product_of_reflectors_orthogonal n (v : nat -> 'cV[R]_n) p :
  (forall j, (j < p)%N -> v j != 0) -> on_manifold (product_of_reflectors v p).
Proof.
elim: p => [|p IH] nonzero /=; first by rewrite /on_manifold trmx1 mulmx1.
apply: products_stay_on_the_manifold; last by apply: reflector_orthogonal; apply: nonzero.
by apply: IH => j /ltnW; apply: nonzero.
Qed.

Variables (n p : nat) (V : 'M[R]_(n, p)).
Hypothesis columns_nonzero : forall j, col j V != 0.

(** The triangular factor of the compact WY form, striu(V^T V) + diag(V^T V)/2, is never singular where no column of V
    is 0. *)
Theorem wy_factor_never_singular : wy_factor V \in unitmx.
Proof.
rewrite -unitmx_tr unitmxE det_trig; last first.
  apply/is_trig_mxP => i j i_j; rewrite !mxE ltnNge (ltnW i_j) /=.
  by case: eqP i_j => // ->; rewrite ltnn.
rewrite unitfE; apply/prodf_neq0 => i _; rewrite !mxE ltnn eqxx mulf_neq0 ?invr_eq0 ?pnatr_eq0 //.
by have := gram_entry V i i; rewrite mxE => ->; rewrite -[dot _ _]/(sqnorm _) sqnorm_eq0.
Qed.

(** The compact WY form: H_1 ... H_p = I - V M^-1 V^T with M = striu(V^T V) + diag(V^T V)/2. *)
Theorem compact_wy_is_product_of_reflectors :
  product_of_reflectors (nth_column V) p = 1%:M - V *m invmx (wy_factor V) *m V^T.
Proof.
pose v := nth_column V; pose B : 'M[R]_(n, p) := \matrix_(i, j) weight v j i 0.
have -> : product_of_reflectors v p = 1%:M - B *m V^T.
  rewrite product_as_sum; congr (_ - _); apply/matrixP => i k; rewrite summxE [RHS]mxE; apply: eq_bigr => j _.
  by rewrite [LHS]mxE big_ord1 [B i j]mxE; congr (_ * _); rewrite ![_^T _ _]mxE /v nth_columnE mxE.
suff BM : B *m wy_factor V = V by rewrite -{1}(mulmxK wy_factor_never_singular B) BM.
apply/matrixP => i k.
(* Column k says (V^T V)_kk b_k / 2 + sum_(j < k) (v_j . v_k) b_j = v_k, which is how weight k was chosen. *)
have step : weight v k = (2%:R / sqnorm (v k)) *: (v k - \sum_(j < k) dot (v j) (v k) *: weight v j).
  rewrite {1}/weight product_as_sum mulmxBl mul1mx mulmx_suml; congr (_ *: (_ - _)); apply: eq_bigr => j _.
  by rewrite -mulmxA inner_scalar mul_mx_scalar.
have vk0 : sqnorm (v k) != 0 by rewrite /v nth_columnE sqnorm_eq0.
have {}step : (sqnorm (v k) / 2%:R) *: weight v k + \sum_(j < k) dot (v j) (v k) *: weight v j = v k.
  by rewrite step scalerA mulrA divfK ?pnatr_eq0 // divff // scale1r subrK.
have {step} := congr1 (fun u : 'cV_n => u i 0) step.
rewrite /v nth_columnE [col k V i 0]mxE => <-; rewrite !mxE summxE.
rewrite (@sum_below _ k) => [|j k_j]; last first.
  by rewrite !mxE ltnNge (ltnW k_j) /= -val_eqE /= gtn_eqF // mulr0.
rewrite !mxE ltnn eqxx; congr (_ + _).
  by rewrite mulrC; congr (_ / _ * _); have := gram_entry V k k; rewrite mxE.
pose term j := (dot (nth_column V j) (col k V) *: weight (nth_column V) j) i 0.
rewrite -/(term _) (big_ord_widen p term) ?(ltnW (ltn_ord k)) //.
apply: eq_bigr => j j_k; rewrite /term !mxE j_k mulrC nth_columnE; congr (_ * _).
by have := gram_entry V j k; rewrite mxE.
by rewrite /v nth_columnE.
Qed.

End CompactWY.

Section FirstColumns.
Variables (R : realFieldType) (p k : nat) (V1 : 'M[R]_p) (V2 : 'M[R]_(k, p)).
Let V := col_mx V1 V2.
Hypothesis unit_diagonal : forall j, V1 j j = 1.

Lemma unit_columns_nonzero j : col j V != 0.
Proof.
apply/eqP => /colP/(_ (lshift k j)); rewrite mxE col_mxEu unit_diagonal mxE => /eqP.
by rewrite oner_eq0.
Qed.

(** What `householder` computes for a V with a unit diagonal, E - V M^-1 V_top^T, is the product of p reflectors applied
    to E, the first p columns of I. *)
Theorem compact_wy_first_columns :
  col_mx 1%:M 0 - V *m invmx (wy_factor V) *m V1^T = product_of_reflectors (nth_column V) p *m col_mx 1%:M 0.
Proof.
rewrite compact_wy_is_product_of_reflectors; last exact: unit_columns_nonzero.
by rewrite mulmxBl mul1mx -[in RHS]mulmxA tr_col_mx mul_row_col mulmx1 mulmx0 addr0.
Qed.

(** The compact WY point is on the manifold. *)
Theorem compact_wy_on_manifold : on_manifold (col_mx 1%:M 0 - V *m invmx (wy_factor V) *m V1^T).
Proof.
rewrite compact_wy_first_columns; apply: products_stay_on_the_manifold; last first.
  by rewrite /on_manifold tr_col_mx mul_row_col trmx1 mulmx1 trmx0 mulmx0 addr0.
apply: product_of_reflectors_orthogonal => j j_p.
by rewrite (nth_columnE V (Ordinal j_p)) unit_columns_nonzero.
Qed.

End FirstColumns.
